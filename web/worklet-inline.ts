// The player's worklet for ./inline, which carries its script (worklet.ts).

/** Put in by build.mjs. */
declare const INLINE_WORKLET: string;

let url: string | undefined;

export function workletUrl(): string | URL {
  return (url ??= URL.createObjectURL(new Blob([INLINE_WORKLET], { type: 'text/javascript' })));
}

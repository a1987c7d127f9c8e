// What both pages do with elements.

/** The element with an id; the page is wrong without it. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`#${id}: expected a ${type.name}, found ${found === null ? 'nothing' : found.tagName}`);
  return found;
}

/** Says something in a live region: shown, and read out by a screen reader. */
export function say(region: HTMLElement, text: string): void {
  region.textContent = text;
}

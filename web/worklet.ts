// Where the player's worklet is, as a module of its own: a build that carries it inside puts another in its place.

/** Written in one piece: so bundlers know it for a file of the package. */
export function workletUrl(): string | URL {
  return new URL('./player-worklet.js', import.meta.url);
}

/**
 * Deals a hand of distinct cards from a deck, the same hand for the same hash: a flow's few candidate queues among many, so that two
 * flows rarely share them all.
 *
 * Example: hands(0x1234n, 64, 6) -> six different numbers below 64.
 * Source: k8s.io/apiserver/pkg/util/shufflesharding; KEP-1040
 */

/** `hash` has 64 bits; `handSize` <= `deckSize`. */
export function dealHand(hash: bigint, deckSize: number, handSize: number): number[] {
  const hand: number[] = [];
  let rest = hash;
  for (let i = 0; i < handSize; i++) {
    const left = BigInt(deckSize - i);
    let card = Number(rest % left);
    rest /= left;
    // The card-th of those that are not dealt yet; `hand` is kept sorted by insertion below.
    for (const dealt of [...hand].sort((a, b) => a - b)) if (dealt <= card) card += 1;
    hand.push(card);
  }
  return hand;
}

/** FNV-1a with 64 bits. */
export function hashOf(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++) {
    hash ^= BigInt(text.charCodeAt(i));
    hash = (hash * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash;
}

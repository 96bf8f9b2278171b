/**
 * HPACK's Huffman code, read. It is a canonical code: the codes of one length are consecutive numbers in the order of their symbols, so
 * that the lengths alone say everything.
 * Source: RFC 7541 5.2 and appendix B (the lengths)
 */

/** Code lengths of the bytes 0 to 255, in base 36. */
const LENGTHS =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq";
const LONGEST = 30;
/** Padding is the beginning of the code that ends a text: all ones, and less than a byte of it. */
const LONGEST_PADDING = 7;

/** The first code of a length, and the symbols of that length in order. */
interface Level {
  readonly first: number;
  readonly symbols: readonly number[];
}

let levels: readonly Level[] | undefined;

function makeLevels(): readonly Level[] {
  const symbols: number[][] = Array.from({ length: LONGEST + 1 }, () => []);
  for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
    symbols[Number.parseInt(LENGTHS[symbol] ?? "", 36)]?.push(symbol);
  }
  let code = 0;
  return symbols.map((ofLength) => {
    code *= 2;
    const level = { first: code, symbols: ofLength };
    code += ofLength.length;
    return level;
  });
}

/** The text behind the code, byte by byte; undefined when it is no such code. */
export function decodeHuffman(bytes: Uint8Array): string | undefined {
  levels ??= makeLevels();
  let text = "";
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      length++;
      const level = levels[length];
      if (level === undefined) return undefined;
      const symbol = level.symbols[code - level.first];
      if (symbol === undefined) continue;
      text += String.fromCharCode(symbol);
      code = 0;
      length = 0;
    }
  }
  const isPadding = length <= LONGEST_PADDING && code === 2 ** length - 1;
  return isPadding ? text : undefined;
}

/** Sizes in bytes of values that have limits. */

const encoder = new TextEncoder();

export function utf8Length(text: string): number {
  return encoder.encode(text).length;
}

/** Length of what a base64 text decodes to. */
export function base64Length(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return Math.floor(text.length / 4) * 3 - padding;
}

/** The bytes of a base64 text as a string of one character each; undefined when it is no base64. */
export function decodeBase64(text: string): string | undefined {
  try {
    return atob(text);
  } catch (error) {
    if (error instanceof DOMException) return undefined;
    throw error;
  }
}

/** Maps of resource name to quantity. */
import { formatQuantity, parseQuantity } from "@knarr/apimachinery/quantity.ts";

export type ResourceList = Record<string, string>;

/** Finer than a thousandth, possibly: only these need a look. */
const fine = /[nu]$|e-|E-|\.\d{4}/;
const nanosPerMilli = 1_000_000n;

function roundedUp(text: string): string {
  if (!fine.test(text)) return text;
  const quantity = parseQuantity(text);
  const rest = quantity.nanos % nanosPerMilli;
  if (rest === 0n) return text;
  const nanos = quantity.nanos - rest + (quantity.nanos > 0n ? nanosPerMilli : 0n);
  return formatQuantity({ ...quantity, nanos });
}

/** Mutates: rounds up to thousandths. Source: SetDefaults_ResourceList */
export function roundResources(list: ResourceList | undefined): void {
  if (list === undefined) return;
  for (const [name, text] of Object.entries(list)) {
    try {
      list[name] = roundedUp(text);
    } catch (error) {
      // Not a quantity: validation names it.
      if (!(error instanceof Error) || error.name !== "QuantityError") throw error;
    }
  }
}

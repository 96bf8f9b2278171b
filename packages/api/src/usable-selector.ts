import type { LabelSelector } from "@knarr/apimachinery/generated/meta-v1.ts";
import { type Selector, SelectorError, selectorOf } from "@knarr/apimachinery/label-selector.ts";

/** The compiled selector; undefined for one with an unknown operator or without the values it needs, which validation names. */
export function usableSelector(selector: LabelSelector | undefined): Selector | undefined {
  try {
    return selectorOf(selector);
  } catch (error) {
    if (error instanceof SelectorError) return undefined;
    throw error;
  }
}

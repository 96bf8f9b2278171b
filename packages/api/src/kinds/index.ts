/** Every kind that the API server serves, in the order of discovery. */
import type { KindDescriptor } from "../descriptor.ts";
import { configMapKind } from "./core/config-map.ts";
import { namespaceKind } from "./core/namespace.ts";
import { podKind } from "./core/pod.ts";

export const allKinds: readonly KindDescriptor[] = [configMapKind, namespaceKind, podKind];

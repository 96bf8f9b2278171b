/** A step of bringing a cluster up: named, timed, shown. Phases are idempotent: `up` runs them all, every time. */
import type { ClusterConfig } from "../cluster-config.ts";
import type { ComponentSpec } from "../components.ts";
import type { ClusterPaths } from "../paths.ts";
import type { Tools } from "../tools.ts";

export interface PhaseContext {
  readonly config: ClusterConfig;
  readonly paths: ClusterPaths;
  readonly tools: Tools;
  readonly controlPlane: readonly ComponentSpec[];
  readonly nodes: readonly { readonly name: string; readonly components: readonly ComponentSpec[] }[];
  /** Image archives to load into every node. */
  readonly loadImages: readonly string[];
  readonly signal: AbortSignal;
  /** Shown beside the phase while it runs. */
  readonly note: (text: string) => void;
}

export interface Phase {
  readonly name: string;
  /** Throws with what is wrong; `up` stops there and what is running stays for looking at. */
  run(context: PhaseContext): Promise<void>;
}

/** How long a component may take to become well. */
export const READY_TIMEOUT_MS = 60_000;

/** What one `knarr apply` works with. */
import type { FileOptions } from "./flags.ts";
import type { FieldValidation } from "./manifest-actions.ts";
import type { DryRun, PrintOptions } from "./print.ts";
import type { CliContext, Connection, GlobalOptions } from "./verb.ts";

export interface ApplyOptions extends GlobalOptions, FileOptions, PrintOptions {
  readonly dryRun?: string;
  readonly serverSide?: boolean;
  readonly forceConflicts?: boolean;
  readonly fieldManager?: string;
  readonly validate: string;
  readonly overwrite: boolean;
  readonly force?: boolean;
  readonly prune?: boolean;
  readonly pruneAllowlist?: readonly string[];
  readonly selector?: string;
  readonly all?: boolean;
}

export interface ApplyTask {
  readonly options: ApplyOptions;
  readonly dryRun: DryRun;
  readonly fieldValidation: FieldValidation;
  readonly connection: Connection;
  readonly context: CliContext;
  /** What an error came about in: "creating", "patching". */
  readonly phase: { doing: string };
}

/** What the doctor looks at, and how it says what it found. */
import type { ClusterConfig } from "../cluster-config.ts";

export type Verdict = "ok" | "warning" | "failure";

export interface Finding {
  /** What was looked at: "inotify limits". */
  readonly subject: string;
  readonly verdict: Verdict;
  /** What is so: "max_user_instances is 128". */
  readonly found: string;
  /** What goes wrong because of it; "" for ok. */
  readonly cause: string;
  /** What to type; "" for ok. */
  readonly fix: string;
}

export interface DoctorContext {
  readonly dataDir: string;
  /** Undefined before the first `knarr up`. */
  readonly config: ClusterConfig | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Looks at one matter. What it can't find out is a finding too; it throws for programming errors only. */
export interface Check {
  readonly subject: string;
  run(context: DoctorContext): Promise<readonly Finding[]>;
}

export const ok = (subject: string, found: string): Finding => ({ subject, verdict: "ok", found, cause: "", fix: "" });

export const warning = (subject: string, found: string, { cause, fix }: { cause: string; fix: string }): Finding => ({
  subject,
  verdict: "warning",
  found,
  cause,
  fix,
});

export const failure = (subject: string, found: string, { cause, fix }: { cause: string; fix: string }): Finding => ({
  subject,
  verdict: "failure",
  found,
  cause,
  fix,
});

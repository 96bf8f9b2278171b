/**
 * What a verb is and what it gets: one file in verbs/ per verb, listed in verbs/index.ts.
 */
import type { Client } from "@knarr/client/client.ts";
import type { Command } from "commander";

/** The outside world of one invocation; tests give their own. */
export interface CliContext {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts on the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Every verb there is, for completion. */
  readonly verbNames?: readonly string[];
  /** The words after `--`; undefined where there was none. */
  readonly afterDashes?: readonly string[] | undefined;
}

/** Flags that stand before or after any verb. */
export interface GlobalOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly server?: string;
  readonly token?: string;
  readonly requestTimeout?: string;
  readonly cluster?: string;
  readonly user?: string;
  readonly as?: string;
  readonly asGroup?: readonly string[];
  readonly asUid?: string;
  readonly asUserExtra?: readonly string[];
  readonly certificateAuthority?: string;
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly tlsServerName?: string;
  readonly warningsAsErrors?: boolean;
}

/** A client and the namespace that commands use when no flag names one. */
export interface Connection {
  readonly client: Client;
  readonly namespace: string;
  /** Whether `--namespace` was given. */
  readonly namespaceGiven: boolean;
}

/** A line of verbs/index.ts: what is known of a verb before its file is read. */
export interface VerbEntry {
  readonly name: string;
  load(): Promise<Verb>;
}

export interface Verb {
  readonly name: string;
  /** Declares the verb, its flags and its action on `program`. */
  register(program: Command, context: CliContext): void;
}

/** The command line or its input is wrong, or what was asked did not come about: printed as `error: ...`. */
export class CliError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.name = "CliError";
    this.exitCode = exitCode;
  }
}

/** Printed without `error: ` before it, as kubectl does in places. */
export class BareError extends CliError {}

/** A command in a container ended with a code of its own, which becomes ours: told without calling it an error. */
export class RemoteExitError extends CliError {
  constructor(exitCode: number) {
    super(`command terminated with exit code ${exitCode}`, exitCode);
    this.name = "RemoteExitError";
  }
}

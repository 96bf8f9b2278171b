/** `knarr certificate approve|deny`: answers certificate signing requests. */
import { certificates } from "@knarr/api/generated/resources.ts";
import type { CertificateSigningRequest } from "@knarr/api/generated/types/certificates-v1.ts";
import { systemClock } from "@knarr/daemon/clock.ts";
import type { Command } from "commander";
import { connect } from "../connect.ts";
import { findObjects, forEachFound } from "../find-objects.ts";
import { addFileFlags, type SelectOptions } from "../flags.ts";
import { addPrintFlags, type PrintOptions, ResultPrinter } from "../print.ts";
import { type CliContext, CliError, type GlobalOptions, type Verb } from "../verb.ts";

interface CertificateOptions extends GlobalOptions, SelectOptions, PrintOptions {
  readonly force?: boolean;
}
const answers = [
  { name: "approve", type: "Approved", did: "approved", reason: "KubectlApprove" },
  { name: "deny", type: "Denied", did: "denied", reason: "KubectlDeny" },
];

export const certificate: Verb = {
  name: "certificate",
  register(program, context) {
    const parent = program.command("certificate").description("Modify certificate resources");
    for (const answer of answers) {
      const command = parent
        .command(answer.name)
        .description(`${answer.name === "deny" ? "Deny" : "Approve"} a certificate signing request`)
        .argument("[name...]", "the requests")
        .option("--force", "also when it was answered before");
      addPrintFlags(addFileFlags(command)).action((words: string[], _options: unknown, self: Command) =>
        run(answer, words, self.optsWithGlobals<CertificateOptions>(), context),
      );
    }
  },
};

async function run(
  answer: (typeof answers)[number],
  words: string[],
  options: CertificateOptions,
  context: CliContext,
): Promise<void> {
  if (words.length === 0 && options.filename === undefined) {
    throw new CliError("one or more CSRs must be specified as <name> or -f <filename>");
  }
  const printer = new ResultPrinter(options, context);
  const connection = await connect(options, context);
  const objects =
    words.length === 0
      ? []
      : ["certificatesigningrequests", ...words.map((w) => w.replace(/^(csr|certificatesigningrequests?)\//, ""))];
  const found = await findObjects(objects, options, connection, context);
  await forEachFound(found, context, async ({ object }) => {
    const request = object as CertificateSigningRequest;
    const conditions = request.status?.conditions ?? [];
    if (conditions.some((c) => c.type === answer.type) && options.force !== true) {
      printer.print(object, answer.did);
      return;
    }
    const now = new Date(systemClock.now()).toISOString().replace(/\.\d+/, "");
    const condition = {
      type: answer.type,
      status: "True",
      reason: answer.reason,
      message: `This CSR was ${answer.did} by kubectl certificate ${answer.name}.`,
      lastUpdateTime: now,
    };
    const changed = { ...request, status: { ...request.status, conditions: [...conditions, condition] } };
    await connection.client.update(certificates.certificatesigningrequests, changed, {
      subresource: "approval",
      signal: context.signal,
    });
    printer.print(object, answer.did);
  });
}

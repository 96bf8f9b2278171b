/** The audit trail from the flags; undefined when nothing is to be recorded. */
import { readFile } from "node:fs/promises";
import { Client } from "@knarr/client/client.ts";
import { loadKubeconfig } from "@knarr/client/kubeconfig.ts";
import type { Clock } from "@knarr/daemon/clock.ts";
import { UsageError } from "@knarr/daemon/flags.ts";
import type { Logger } from "@knarr/daemon/logger.ts";
import type { Config } from "../config.ts";
import { AuditLog } from "./audit-log.ts";
import { Auditor, type AuditSink } from "./auditor.ts";
import { AuditPolicyError, METADATA_POLICY, parseAuditPolicy } from "./policy.ts";
import { TruncatingSink } from "./truncating-sink.ts";
import { WebhookSink } from "./webhook-sink.ts";

/** Throws UsageError for a policy that cannot be used. */
export async function buildAuditor(
  config: Config,
  tools: { readonly clock: Clock; readonly log: Logger },
): Promise<Auditor | undefined> {
  const sinks: AuditSink[] = [];
  if (config.auditLogPath !== "") {
    const file = new AuditLog({
      path: config.auditLogPath,
      maxSizeMiB: config.auditLogMaxsize,
      maxBackups: config.auditLogMaxbackup,
      maxAgeDays: config.auditLogMaxage,
      compress: config.auditLogCompress,
      format: config.auditLogFormat,
      mode: config.auditLogMode,
      ...tools,
    });
    const { auditLogTruncateEnabled: isCut, auditLogTruncateMaxEventSize: maxBytes } = config;
    sinks.push(isCut ? new TruncatingSink(file, { maxBytes, log: tools.log }) : file);
  }
  if (config.auditWebhookConfigFile !== "") {
    const { auditWebhookTruncateEnabled: isCut, auditWebhookTruncateMaxEventSize: maxBytes } = config;
    const webhook = webhookOf(config, tools);
    sinks.push(isCut ? new TruncatingSink(webhook, { maxBytes, log: tools.log }) : webhook);
  }
  if (sinks.length === 0) return undefined;
  return new Auditor({ policy: await policyOf(config.auditPolicyFile), sinks, clock: tools.clock });
}

async function policyOf(path: string): Promise<typeof METADATA_POLICY> {
  if (path === "") return METADATA_POLICY;
  try {
    return parseAuditPolicy(await readFile(path, "utf8"));
  } catch (error) {
    if (!(error instanceof AuditPolicyError) && !(error instanceof Error && "code" in error)) throw error;
    throw new UsageError(`--audit-policy-file ${path}: ${(error as Error).message}`);
  }
}

function webhookOf(config: Config, { clock, log }: { readonly clock: Clock; readonly log: Logger }): WebhookSink {
  const client = new Client(loadKubeconfig({ path: config.auditWebhookConfigFile }), { clock });
  return new WebhookSink({
    post: async (body) => {
      await client.request({
        method: "POST",
        path: "",
        headers: { "content-type": "application/json" },
        body: Buffer.from(body),
      });
    },
    mode: config.auditWebhookMode,
    maxBatch: config.auditWebhookBatchMaxSize,
    maxBatchBytes: config.auditWebhookTruncateEnabled
      ? config.auditWebhookTruncateMaxBatchSize
      : Number.POSITIVE_INFINITY,
    throttle: config.auditWebhookBatchThrottleEnable
      ? { perSecond: config.auditWebhookBatchThrottleQps, burst: config.auditWebhookBatchThrottleBurst }
      : undefined,
    maxWaitMs: config.auditWebhookBatchMaxWaitMs,
    bufferSize: config.auditWebhookBatchBufferSize,
    initialBackoffMs: config.auditWebhookInitialBackoffMs,
    clock,
    log,
  });
}

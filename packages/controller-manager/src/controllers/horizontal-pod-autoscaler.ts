/**
 * HorizontalPodAutoscalers: the replicas of whatever has a scale, by what metrics say.
 * Inputs: HorizontalPodAutoscalers, Pods, scales, the metrics APIs. Writes: scales, HorizontalPodAutoscaler status, Events.
 * What was recommended and done before is kept in memory: a new leader starts with the replicas it finds.
 */
import { autoscaling, core } from "@knarr/api/generated/resources.ts";
import type { Scale } from "@knarr/api/generated/types/autoscaling-v1.ts";
import type {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerStatus,
  MetricStatus,
} from "@knarr/api/generated/types/autoscaling-v2.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { parseLabelSelector, SelectorError } from "@knarr/apimachinery/label-selector.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { keyString, parseKeyString } from "@knarr/apimachinery/resource.ts";
import { rfc3339Seconds } from "@knarr/apimachinery/time.ts";
import type { EventRecorder } from "@knarr/client/event-recorder.ts";
import type { Informer } from "@knarr/client/informer.ts";
import { after, done, type Result } from "@knarr/controller/reconcile-loop.ts";
import type { WorkQueue } from "@knarr/controller/work-queue.ts";
import {
  type Controller,
  type ControllerContext,
  makeQueue,
  makeRecorder,
  needs,
  runLoop,
} from "../controller-context.ts";
import {
  type Choice,
  type ConditionText,
  chooseReplicas,
  withCondition,
} from "../core/autoscaler/autoscaler-conditions.ts";
import { milliOf, type PodsView } from "../core/autoscaler/metric-replicas.ts";
import { applyRules, remember, type ScalingHistory } from "../core/autoscaler/scaling-rules.ts";
import { sameJson } from "../core/canonical-json.ts";
import { evaluateMetric } from "./evaluate-metric.ts";
import { MetricsClient } from "./metrics-client.ts";
import { messageOf } from "./pod-control.ts";
import { ScaleClient, type ScaleTarget } from "./scale-client.ts";

export const horizontalPodAutoscalerController: Controller = {
  name: "horizontal-pod-autoscaler-controller",
  aliases: ["horizontalpodautoscaling"],
  serviceAccount: "horizontal-pod-autoscaler",
  start: async (context) => {
    const controller = new AutoscalerController(context);
    return (signal) => controller.run(signal);
  },
};

/** What a reconcile finds out before it writes. */
interface Draft {
  readonly autoscaler: HorizontalPodAutoscaler;
  readonly nowMs: number;
  conditions: readonly ConditionLike[];
  metrics: readonly MetricStatus[];
}
type ConditionLike = NonNullable<HorizontalPodAutoscalerStatus["conditions"]>[number];

interface Memory {
  history: ScalingHistory;
  /** The target's pods, as text: to find who else scales them. */
  selector: string;
}

class AutoscalerController {
  readonly #context: ControllerContext;
  readonly #autoscalers: Informer<HorizontalPodAutoscaler>;
  readonly #pods: Informer<Pod>;
  readonly #queue: WorkQueue;
  readonly #recorder: EventRecorder;
  readonly #scales: ScaleClient;
  readonly #metrics: MetricsClient;
  readonly #memory = new Map<string, Memory>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#autoscalers = context.informers.informer(autoscaling.horizontalpodautoscalers);
    this.#pods = context.informers.informer(core.pods);
    this.#queue = makeQueue(context);
    this.#recorder = makeRecorder(context, "horizontal-pod-autoscaler");
    this.#scales = new ScaleClient(context.client, context.clock);
    this.#metrics = new MetricsClient(context.client);
    // Differs from upstream: a new or changed autoscaler is looked at now, not after a period, because someone waits.
    this.#autoscalers.subscribe({
      added: (autoscaler) => this.#queue.add(keyString(keyOf(autoscaler))),
      updated: (old, autoscaler) => {
        if (!sameJson(old.spec, autoscaler.spec)) this.#queue.add(keyString(keyOf(autoscaler)));
      },
      deleted: (autoscaler) => this.#memory.delete(keyString(keyOf(autoscaler))),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return runLoop(
      this.#context,
      {
        queue: this.#queue,
        workers: this.#context.config.concurrentHorizontalPodAutoscalerSyncs,
        needs: needs(this.#autoscalers, this.#pods),
        reconcile: (key, abort) => this.#reconcile(key, abort),
      },
      signal,
    );
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<Result> {
    const autoscaler = this.#autoscalers.get(parseKeyString(key));
    if (autoscaler === undefined) return done;
    const { clock, config, log } = this.#context;
    const { conditions = [], currentMetrics = [] } = autoscaler.status ?? {};
    const draft: Draft = { autoscaler, nowMs: clock.now(), conditions, metrics: currentMetrics };
    try {
      await this.#autoscale(key, draft, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      // Told as an event and a condition already; the next period is the retry.
      log.debug({ key, err: error }, "autoscaling failed");
    }
    return after(config.horizontalPodAutoscalerSyncPeriodMs);
  }

  async #autoscale(key: string, draft: Draft, signal: AbortSignal): Promise<void> {
    const { autoscaler } = draft;
    const scale = await this.#getScale(draft, signal);
    const current = scale.spec?.replicas ?? 0;
    const memory = this.#remembered(key, current, draft.nowMs);
    const { minReplicas: min = 1, maxReplicas: max } = autoscaler.spec;
    if (current === 0 && min !== 0) {
      const message = "scaling is disabled since the replica count of the target is zero";
      this.#set(draft, { type: "ScalingActive", status: "False", reason: "ScalingDisabled", message });
      return this.#writeStatus(draft, { current, desired: 0 }, signal);
    }
    if (current > max) {
      const reason = "Current number of replicas above Spec.MaxReplicas";
      return this.#rescale(draft, { scale, memory, desired: max, reason }, signal);
    }
    if (current < min) {
      const reason = "Current number of replicas below Spec.MinReplicas";
      return this.#rescale(draft, { scale, memory, desired: min, reason }, signal);
    }
    const choice = await this.#choose(key, { draft, scale, memory }, signal);
    if (choice?.replicas === undefined) {
      const { desiredReplicas = 0 } = autoscaler.status ?? {};
      await this.#writeStatus(draft, { current, desired: desiredReplicas }, signal);
      if (choice?.error !== undefined) {
        this.#recorder.event(autoscaler, "Warning", "FailedComputeMetricsReplicas", choice.error.message);
        throw choice.error;
      }
      return;
    }
    const { replicas: wanted, name } = choice;
    const reason = wanted > current ? `${name} above target` : wanted < current ? "All metrics below target" : "";
    const desired = this.#applyRules(draft, memory, { current, wanted, min, max });
    if (desired === current) await this.#writeStatus(draft, { current, desired: current }, signal);
    else await this.#rescale(draft, { scale, memory, desired, reason }, signal);
    if (choice.error !== undefined) throw choice.error;
  }

  #remembered(key: string, current: number, nowMs: number): Memory {
    const known = this.#memory.get(key);
    if (known !== undefined) return known;
    const history = { recommendations: [{ replicas: current, atMs: nowMs }], ups: [], downs: [] };
    const fresh: Memory = { history, selector: "" };
    this.#memory.set(key, fresh);
    return fresh;
  }

  #set(draft: Draft, condition: ConditionText): void {
    draft.conditions = withCondition(draft.conditions, condition, draft.nowMs);
  }

  async #getScale(draft: Draft, signal: AbortSignal): Promise<Scale> {
    const { autoscaler } = draft;
    const { name } = autoscaler.spec.scaleTargetRef;
    const key = { namespace: autoscaler.metadata.namespace ?? "", name };
    try {
      const scale = await this.#scales.get(targetOf(autoscaler), key, signal);
      const message = "the HPA controller was able to get the target's current scale";
      this.#set(draft, { type: "AbleToScale", status: "True", reason: "SucceededGetScale", message });
      return scale;
    } catch (error) {
      if (signal.aborted) throw error;
      const reason = "FailedGetScale";
      this.#recorder.event(autoscaler, "Warning", reason, messageOf(error));
      const message = `the HPA controller was unable to get the target's current scale: ${messageOf(error)}`;
      this.#set(draft, { type: "AbleToScale", status: "False", reason, message });
      const { currentReplicas = 0, desiredReplicas = 0 } = autoscaler.status ?? {};
      await this.#writeStatus(draft, { current: currentReplicas, desired: desiredReplicas }, signal);
      throw error;
    }
  }

  /** What the metrics ask for; undefined when it can't be said whose metrics they are. */
  async #choose(
    key: string,
    { draft, scale, memory }: { draft: Draft; scale: Scale; memory: Memory },
    signal: AbortSignal,
  ): Promise<Choice | undefined> {
    const { autoscaler } = draft;
    const { namespace = "" } = autoscaler.metadata;
    const pods = this.#selectPods(key, { draft, selector: scale.status?.selector ?? "", memory });
    if (pods === undefined) return undefined;
    const metrics = autoscaler.spec.metrics ?? [];
    const context = {
      metrics: this.#metrics,
      namespace,
      selector: memory.selector,
      statusReplicas: scale.status?.replicas ?? 0,
      view: this.#podsView(draft, pods, scale.spec?.replicas ?? 0),
      signal,
    };
    const outcomes = await Promise.all(metrics.map((spec) => evaluateMetric(spec, context)));
    for (const outcome of outcomes) {
      if (!outcome.ok) this.#recorder.event(autoscaler, "Warning", outcome.reason, outcome.message);
    }
    const choice = chooseReplicas(outcomes, scale.spec?.replicas ?? 0);
    this.#set(draft, choice.active);
    draft.metrics = choice.statuses;
    return choice;
  }

  #selectPods(
    key: string,
    { draft, selector, memory }: { draft: Draft; selector: string; memory: Memory },
  ): readonly Pod[] | undefined {
    const { autoscaler } = draft;
    const { namespace = "" } = autoscaler.metadata;
    const refuse = (reason: string, event: string, message: string) => {
      this.#recorder.event(autoscaler, "Warning", event, message);
      this.#set(draft, { type: "ScalingActive", status: "False", reason, message });
      return undefined;
    };
    if (selector === "") {
      this.#recorder.event(autoscaler, "Warning", "SelectorRequired", "selector is required");
      const message = "the HPA target's scale is missing a selector";
      this.#set(draft, { type: "ScalingActive", status: "False", reason: "InvalidSelector", message });
      return undefined;
    }
    try {
      const matcher = parseLabelSelector(selector);
      memory.selector = selector;
      const pods = this.#pods.list(namespace).filter((pod) => matcher.matches(pod.metadata.labels ?? {}));
      const rivals = this.#rivals(key, namespace, pods);
      if (rivals.length === 0) return pods;
      const names = [key, ...rivals].sort().join(" ");
      const message = `pods by selector ${selector} are controlled by multiple HPAs: [${names}]`;
      return refuse("AmbiguousSelector", "AmbiguousSelector", message);
    } catch (error) {
      if (!(error instanceof SelectorError)) throw error;
      const message = `couldn't convert selector into a corresponding internal selector object: ${error.message}`;
      return refuse("InvalidSelector", "InvalidSelector", message);
    }
  }

  /** Other autoscalers of the namespace whose targets have some of these pods. */
  #rivals(key: string, namespace: string, pods: readonly Pod[]): string[] {
    const rivals: string[] = [];
    for (const [other, { selector }] of this.#memory) {
      if (other === key || selector === "" || parseKeyString(other).namespace !== namespace) continue;
      const matcher = parseLabelSelector(selector);
      if (pods.some((pod) => matcher.matches(pod.metadata.labels ?? {}))) rivals.push(other);
    }
    return rivals;
  }

  #podsView({ autoscaler, nowMs }: Draft, pods: readonly Pod[], currentReplicas: number): PodsView {
    const { config } = this.#context;
    const { scaleUp, scaleDown } = autoscaler.spec.behavior ?? {};
    const tolerance = (text: string | undefined) =>
      text === undefined ? config.horizontalPodAutoscalerTolerance : milliOf(text) / 1000;
    return {
      pods,
      currentReplicas,
      tolerances: { up: tolerance(scaleUp?.tolerance), down: tolerance(scaleDown?.tolerance) },
      cpuInitializationMs: config.horizontalPodAutoscalerCpuInitializationPeriodMs,
      initialReadinessMs: config.horizontalPodAutoscalerInitialReadinessDelayMs,
      nowMs,
    };
  }

  #applyRules(draft: Draft, memory: Memory, of: { current: number; wanted: number; min: number; max: number }): number {
    const { current, wanted, min, max } = of;
    const { behavior } = draft.autoscaler.spec;
    const { horizontalPodAutoscalerDownscaleStabilizationMs: downscaleStabilizationMs } = this.#context.config;
    const base = { current, behavior, downscaleStabilizationMs, nowMs: draft.nowMs, history: memory.history };
    const outcome = applyRules({ ...base, desired: wanted, min, max });
    memory.history = remember(base, { recommended: wanted });
    this.#set(draft, { type: "AbleToScale", status: "True", ...outcome.ableToScale });
    this.#set(draft, { type: "ScalingLimited", status: outcome.limited ? "True" : "False", ...outcome.limit });
    return outcome.replicas;
  }

  async #rescale(
    draft: Draft,
    of: { scale: Scale; memory: Memory; desired: number; reason: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { scale, memory, desired, reason } = of;
    const { autoscaler, nowMs } = draft;
    const current = scale.spec?.replicas ?? 0;
    try {
      const next = { ...scale, spec: { ...scale.spec, replicas: desired } };
      await this.#scales.update(targetOf(autoscaler), next, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const text = `New size: ${desired}; reason: ${reason}; error: ${messageOf(error)}`;
      this.#recorder.event(autoscaler, "Warning", "FailedRescale", text);
      const message = `the HPA controller was unable to update the target scale: ${messageOf(error)}`;
      this.#set(draft, { type: "AbleToScale", status: "False", reason: "FailedUpdateScale", message });
      await this.#writeStatus(draft, { current, desired: autoscaler.status?.desiredReplicas ?? 0 }, signal);
      throw error;
    }
    const message = `the HPA controller was able to update the target scale to ${desired}`;
    this.#set(draft, { type: "AbleToScale", status: "True", reason: "SucceededRescale", message });
    this.#recorder.event(autoscaler, "Normal", "SuccessfulRescale", `New size: ${desired}; reason: ${reason}`);
    const { horizontalPodAutoscalerDownscaleStabilizationMs: downscaleStabilizationMs } = this.#context.config;
    const base = { current, behavior: autoscaler.spec.behavior, downscaleStabilizationMs, nowMs };
    memory.history = remember({ ...base, history: memory.history }, { scaledBy: desired - current });
    await this.#writeStatus(draft, { current, desired, scaled: true }, signal);
  }

  async #writeStatus(
    { autoscaler, conditions, metrics, nowMs }: Draft,
    of: { current: number; desired: number; scaled?: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const lastScaleTime = of.scaled === true ? rfc3339Seconds(nowMs) : autoscaler.status?.lastScaleTime;
    const status: HorizontalPodAutoscalerStatus = {
      ...(lastScaleTime === undefined ? {} : { lastScaleTime }),
      ...(of.current === 0 ? {} : { currentReplicas: of.current }),
      desiredReplicas: of.desired,
      currentMetrics: [...metrics],
      conditions: [...conditions],
    };
    if (sameJson(status, autoscaler.status)) return;
    const ref = autoscaling.horizontalpodautoscalers;
    await this.#context.client.update(ref, { ...autoscaler, status }, { subresource: "status", signal });
  }
}

function targetOf({ spec }: HorizontalPodAutoscaler): ScaleTarget {
  const { apiVersion = "v1", kind } = spec.scaleTargetRef;
  return { apiVersion, kind };
}

/** The configuration in force, as /configz shows it. Source: k8s.io/component-base/configz */
import type { Config } from "./config.ts";

const duration = (ms: number) => `${ms / 1000}s`;

/** By the name under which upstream's scheduler registers its own. */
export function renderConfig(config: Config): Record<string, unknown> {
  const { enabled, leaseDurationMs, renewDeadlineMs, retryPeriodMs, namespace, name } = config.leaderElection;
  return {
    "kubescheduler.config.k8s.io": {
      apiVersion: "kubescheduler.config.k8s.io/v1",
      kind: "KubeSchedulerConfiguration",
      parallelism: config.parallelism,
      leaderElection: {
        leaderElect: enabled,
        leaseDuration: duration(leaseDurationMs),
        renewDeadline: duration(renewDeadlineMs),
        retryPeriod: duration(retryPeriodMs),
        resourceLock: "leases",
        resourceName: name,
        resourceNamespace: namespace,
      },
      clientConnection: { kubeconfig: config.kubeconfig, ...(config.rateLimit ?? { qps: -1 }) },
      percentageOfNodesToScore: config.percentageOfNodesToScore,
      podInitialBackoffSeconds: config.initialBackoffMs / 1000,
      podMaxBackoffSeconds: config.maxBackoffMs / 1000,
      profiles: config.profiles.map(({ schedulerName, percentageOfNodesToScore, plugins, args }) => ({
        schedulerName,
        percentageOfNodesToScore,
        plugins,
        pluginConfig: [...args].map(([plugin, values]) => ({ name: plugin, args: values })),
      })),
    },
  };
}

/** What the tables of kinds share. */
// biome-ignore lint/suspicious/noExplicitAny: objects of every kind
type Json = any;

/**
 * The least that an object of the kind can be made of, and what is stored of it: upstream's defaults and what its strategies add.
 * What differs from run to run is written as UID, ADDRESS, TIME and FINGERPRINT.
 */
export interface KindCase {
  /** "apps/v1 Deployment" */
  readonly kind: string;
  /** Default: m. */
  readonly name?: string;
  readonly fields?: Json;
  /** Besides name, namespace, uid, resourceVersion, creationTimestamp, generation and managedFields. */
  readonly metadata?: Json;
  /** metadata.generation of a new object. */
  readonly generation?: number;
  /** Everything but the metadata; absent: the fields as they were sent. */
  readonly stored?: Json;
}

export const pod = { containers: [{ name: "c", image: "i" }] };
export const oncePod = { ...pod, restartPolicy: "Never" };

/** The same as stored in a template. */
export const podSpec = {
  containers: [
    {
      name: "c",
      image: "i",
      resources: {},
      terminationMessagePath: "/dev/termination-log",
      terminationMessagePolicy: "File",
      imagePullPolicy: "Always",
    },
  ],
  restartPolicy: "Always",
  terminationGracePeriodSeconds: 30,
  dnsPolicy: "ClusterFirst",
  securityContext: {},
  schedulerName: "default-scheduler",
};
export const onceSpec = { ...podSpec, restartPolicy: "Never" };

import assert from "node:assert/strict";
import { test } from "node:test";
import { created } from "../../kind-fixture.ts";

const rows: readonly { volume: object; want: readonly string[] }[] = [
  {
    volume: { awsElasticBlockStore: { volumeID: "a", partition: 256 } },
    want: ["awsElasticBlockStore.partition: Invalid value: 256: must be between 0 and 255, inclusive"],
  },
  {
    volume: { gcePersistentDisk: { partition: -1 } },
    want: [
      "gcePersistentDisk.pdName: Required value",
      "gcePersistentDisk.partition: Invalid value: -1: must be between 0 and 255, inclusive",
    ],
  },
  {
    volume: { gitRepo: { repository: "r", directory: "/abs" } },
    want: ['gitRepo.directory: Invalid value: "/abs": must be a relative path'],
  },
  { volume: { iscsi: { targetPortal: "10.0.0.1", iqn: "iqn.2001-04.com.example:disk1", lun: 1 } }, want: [] },
  {
    volume: {
      iscsi: { targetPortal: "10.0.0.1", iqn: "iqn.x", lun: 256, chapAuthSession: true, initiatorName: "foo" },
    },
    want: [
      'iscsi.iqn: Invalid value: "iqn.x": must be valid format',
      "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
      "iscsi.secretRef: Required value",
      'iscsi.initiatorname: Invalid value: "foo": must be valid format starting with iqn, eui, or naa',
    ],
  },
  {
    volume: { fc: { targetWWNs: ["a"], lun: 300 } },
    want: ["fc.lun: Invalid value: 300: must be between 0 and 255, inclusive"],
  },
  {
    volume: { azureDisk: { diskName: "d", diskURI: "https://x", kind: "Managed", cachingMode: "Lots" } },
    want: [
      'azureDisk.cachingMode: Unsupported value: "Lots": supported values: "None", "ReadOnly", "ReadWrite"',
      'azureDisk.diskURI: Unsupported value: "https://x": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"',
    ],
  },
  { volume: { cinder: { volumeID: "a", secretRef: {} } }, want: ["cinder.secretRef.name: Required value"] },
  {
    volume: { flexVolume: { driver: "d", options: { "kubernetes.io/x": "1", plain: "1" } } },
    want: [
      'flexVolume.options[kubernetes.io/x]: Invalid value: "kubernetes.io/x": kubernetes.io and k8s.io namespaces are reserved',
    ],
  },
  { volume: { quobyte: { registry: "host:7861,other:7861", volume: "v" } }, want: [] },
  {
    volume: { quobyte: { registry: "host" } },
    want: [
      'quobyte.registry: Invalid value: "host": must be a host:port pair or multiple pairs separated by commas',
      "quobyte.volume: Required value",
    ],
  },
  {
    volume: { flocker: { datasetName: "a/b" } },
    want: ["flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"],
  },
  { volume: { flocker: {} }, want: ["flocker: Required value: one of datasetName and datasetUUID is required"] },
  {
    volume: { projected: { sources: [{ clusterTrustBundle: { path: "ca.pem" } }] } },
    want: ["projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"],
  },
];

for (const { volume, want } of rows) {
  test(`validateVolumes() looks into ${JSON.stringify(volume)}`, () => {
    const spec = { containers: [{ name: "a", image: "i" }], volumes: [{ name: "data", ...volume }] };
    const { errors } = created({ apiVersion: "v1", kind: "Pod", metadata: { name: "web" }, spec });
    assert.deepEqual(
      errors,
      want.map((one) => `spec.volumes[0].${one}`),
    );
  });
}

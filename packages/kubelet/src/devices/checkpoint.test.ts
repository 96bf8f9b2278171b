import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type Checkpoint, CheckpointError, parseCheckpoint, renderCheckpoint } from "./checkpoint.ts";

/** Files that upstream's kubelets wrote, from people's notes. */
const UPSTREAM = [
  '{"Data":{"PodDeviceEntries":[{"PodUID":"bf52b2cd-b611-4e79-86b1-280b283185c3","ContainerName":"check","ResourceName":"nvidia.com/gpu","DeviceIDs":{"-1":["tegra"]},"AllocResp":"Ch8KFk5WSURJQV9WSVNJQkxFX0RFVklDRVMSBXRlZ3Jh"}],"RegisteredDevices":{"nvidia.com/gpu":["tegra"]}},"Checksum":3660592824}',
  '{"Data":{"PodDeviceEntries":[{"PodUID":"9a15d2b5-c152-46b9-96e0-d57032629e1f","ContainerName":"app","ResourceName":"nvidia.com/gpu","DeviceIDs":{"1":["GPU-9b341c59-f96b-ba85-c137-78c3652fea65","GPU-c1e9f249-b37b-81c2-a8d9-ba5ca0294841"]},"AllocResp":"CmsKFk5WSURJQV9WSVNJQkxFX0RFVklDRVMSUUdQVS1jMWU5ZjI0OS1iMzdiLTgxYzItYThkOS1iYTVjYTAyOTQ4NDEsR1BVLTliMzQxYzU5LWY5NmItYmE4NS1jMTM3LTc4YzM2NTJmZWE2NRokCg4vZGV2L252aWRpYWN0bBIOL2Rldi9udmlkaWFjdGwaAnJ3GiYKDy9kZXYvbnZpZGlhLXV2bRIPL2Rldi9udmlkaWEtdXZtGgJydxoyChUvZGV2L252aWRpYS11dm0tdG9vbHMSFS9kZXYvbnZpZGlhLXV2bS10b29scxoCcncaLgoTL2Rldi9udmlkaWEtbW9kZXNldBITL2Rldi9udmlkaWEtbW9kZXNldBoCcncaIAoML2Rldi9udmlkaWExEgwvZGV2L252aWRpYTEaAnJ3GiAKDC9kZXYvbnZpZGlhMhIML2Rldi9udmlkaWEyGgJydw=="}],"RegisteredDevices":{"nvidia.com/gpu":["GPU-77a702db-e37f-3a74-d46d-c5713f66058c","GPU-9b341c59-f96b-ba85-c137-78c3652fea65","GPU-c1e9f249-b37b-81c2-a8d9-ba5ca0294841"]}},"Checksum":2530956716}',
];

for (const [index, text] of UPSTREAM.entries()) {
  test(`parseCheckpoint() reads upstream's file ${index + 1}, and renderCheckpoint() writes the same`, () => {
    assert.equal(renderCheckpoint(parseCheckpoint(text)), text);
  });
}

for (const [what, text] of [
  ["is changed", (UPSTREAM[0] ?? "").replace("tegra", "tegrb")],
  ["is cut short", (UPSTREAM[0] ?? "").slice(0, 100)],
  ["is null", "null"],
  ["has no data", "{}"],
  ["has other things in it", '{"Data":{"PodDeviceEntries":7,"RegisteredDevices":"x"},"Checksum":1}'],
] as const) {
  test(`parseCheckpoint() throws CheckpointError when the text ${what}`, () => {
    assert.throws(() => parseCheckpoint(text), CheckpointError);
  });
}

const names = fc.array(fc.string(), { maxLength: 4 });
const entries = fc
  .tuple(
    fc.uuid(),
    fc.string(),
    fc.string(),
    fc.uniqueArray(fc.tuple(fc.integer({ min: -1, max: 300 }), names), { selector: ([node]) => node }),
    fc.uint8Array(),
  )
  .map(([podUid, container, resource, devices, answer]) => ({
    ...{ podUid, container, resource, devices: new Map(devices), answer: Buffer.from(answer) },
  }));
// JSON.parse makes a key of it, an object literal does not.
const resources = fc.string().filter((name) => name !== "__proto__");
const checkpoints: fc.Arbitrary<Checkpoint> = fc
  .tuple(fc.array(entries, { maxLength: 5 }), fc.array(fc.tuple(resources, names), { maxLength: 4 }))
  .map(([list, registered]) => ({ entries: list, registered: new Map(registered) }));

test("parseCheckpoint() gives back what renderCheckpoint() was given", () => {
  fc.assert(
    fc.property(checkpoints, (checkpoint) => {
      const back = parseCheckpoint(renderCheckpoint(checkpoint));
      assert.deepEqual(back, checkpoint);
    }),
    { verbose: 1 },
  );
});

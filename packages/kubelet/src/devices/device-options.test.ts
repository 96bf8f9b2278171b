import assert from "node:assert/strict";
import test from "node:test";
import { deviceOptions, NO_DEVICE_OPTIONS } from "./device-options.ts";

const EMPTY = { envs: {}, mounts: [], devices: [], annotations: {}, cdiDevices: [] };

test("deviceOptions() is nothing when no devices are held", () => {
  assert.deepEqual(deviceOptions([]), NO_DEVICE_OPTIONS);
});

test("deviceOptions() joins what plugins answered; of two that want the same, the first has it", () => {
  const first = {
    ...EMPTY,
    envs: { A: "1" },
    mounts: [{ containerPath: "/m", hostPath: "/one", readOnly: true }],
    devices: [{ containerPath: "/dev/x", hostPath: "/dev/one", permissions: "rw" }],
    annotations: { k: "1" },
    cdiDevices: [{ name: "v.com/c=1" }],
  };
  const second = {
    ...EMPTY,
    envs: { A: "2", B: "3" },
    mounts: [{ containerPath: "/m", hostPath: "/two", readOnly: false }],
    devices: [{ containerPath: "/dev/y", hostPath: "/dev/two", permissions: "r" }],
    annotations: { k: "2", l: "3" },
    cdiDevices: [{ name: "v.com/c=1" }, { name: "v.com/c=2" }],
  };
  assert.deepEqual(deviceOptions([first, second]), {
    envs: [
      { key: "A", value: "1" },
      { key: "B", value: "3" },
    ],
    mounts: first.mounts,
    devices: [...first.devices, ...second.devices],
    annotations: { k: "1", l: "3" },
    cdiDevices: [{ name: "v.com/c=1" }, { name: "v.com/c=2" }],
  });
});

/** The readers of the kernel's files, and the writer of metrics. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CpuRates } from "./cpu-rates.ts";
import { legacyDevices, unifiedDevices } from "./group-usage.ts";
import { diskMounts, processors } from "./machine-metrics.ts";
import { parseNetDev } from "./network-usage.ts";
import { MetricFamily, renderFamilies } from "./prometheus-text.ts";

test("parseNetDev() reads interfaces and leaves out the loopback and what pods' networks made", () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 1500      10    1    2    0     0          0         0     3000      20    3    4    0     0       0          0
veth12: 1500      10    1    2    0     0          0         0     3000      20    3    4    0     0       0          0
`;
  assert.deepEqual(parseNetDev(text), [
    {
      name: "eth0",
      rxBytes: 1500,
      rxPackets: 10,
      rxErrors: 1,
      rxDropped: 2,
      txBytes: 3000,
      txPackets: 20,
      txErrors: 3,
      txDropped: 4,
    },
  ]);
});

test("legacyDevices() and unifiedDevices() tell the same of both versions' files", () => {
  const want = [{ device: "8:0", readBytes: 4096, writeBytes: 512, reads: 2, writes: 1 }];
  const bytes = "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 1\nTotal 4608\n";
  assert.deepEqual(legacyDevices(bytes, "8:0 Read 2\n8:0 Write 1\nTotal 3\n"), want);
  assert.deepEqual(unifiedDevices("8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n"), want);
});

test("renderFamilies() sorts names and labels, escapes values and leaves out what has no samples", () => {
  const b = new MetricFamily("b", "counter", "Second.");
  b.add({ y: 'quote " slash \\ line \n', x: "1" }, 1.5, 1000.4);
  const a = new MetricFamily("a", "gauge", "First.");
  a.add({}, 3);
  a.add({}, undefined);
  assert.equal(
    renderFamilies([b, a, new MetricFamily("none", "gauge", "Nothing.")]),
    '# HELP a First.\n# TYPE a gauge\na 3\n# HELP b Second.\n# TYPE b counter\nb{x="1",y="quote \\" slash \\\\ line \\n"} 1.5 1000\n',
  );
});

test("CpuRates.of() is known after two samples and forgotten with its container", () => {
  const rates = new CpuRates();
  rates.update([{ id: "c", atMs: 1000, seenMs: 0, nanoSeconds: 0 }]);
  assert.equal(rates.of("c"), undefined);
  rates.update([{ id: "c", atMs: 1100, seenMs: 100, nanoSeconds: 1e9 }]);
  assert.equal(rates.of("c"), undefined, "too close to say");
  rates.update([{ id: "c", atMs: 3000, seenMs: 2000, nanoSeconds: 1e9 }]);
  assert.equal(rates.of("c"), 500_000_000);
  rates.update([]);
  assert.equal(rates.of("c"), undefined);
});

test("processors() counts sockets and cores where the kernel tells of them", () => {
  const cpu = (socket: number, core: number) => `physical id\t: ${socket}\ncore id\t\t: ${core}\n`;
  assert.deepEqual(processors([cpu(0, 0), cpu(0, 0), cpu(0, 1), cpu(1, 0)].join("\n"), 4), { sockets: 2, cores: 3 });
  assert.deepEqual(processors("processor\t: 0\n", 2), { sockets: 1, cores: 2 });
});

test("diskMounts() names every device once", () => {
  const mounts =
    "proc /proc proc rw 0 0\n/dev/vda / ext4 rw 0 0\n/dev/vda /var ext4 rw 0 0\n/dev/vdb /mnt/a\\040b ext4 rw 0 0\n";
  assert.deepEqual([...diskMounts(mounts)], [["/dev/vda", "/"]]);
});

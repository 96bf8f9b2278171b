/**
 * Whether a ServiceCIDR that is to be deleted may go: not while an address of a Service is in none but its ranges. Pure.
 * Source: KEP-1880, kubernetes/pkg/controller/servicecidrs
 */
import type { ServiceCIDR } from "@knarr/api/generated/types/networking-v1.ts";
import { isIpv4, isIpv6 } from "@knarr/api/validation/ip.ts";

export const CIDR_FINALIZER = "networking.k8s.io/service-cidr-finalizer";

export interface CidrCondition {
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

export const READY: CidrCondition = { status: "True", reason: "", message: "Kubernetes Service CIDR is ready" };
export const TERMINATING: CidrCondition = {
  status: "False",
  reason: "Terminating",
  message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
};

/** `others` are the ServiceCIDRs that stay. */
export function mayDelete(cidr: ServiceCIDR, others: readonly ServiceCIDR[], addresses: readonly string[]): boolean {
  return addresses.every((address) => !covers(cidr, address) || others.some((other) => covers(other, address)));
}

function covers({ spec }: ServiceCIDR, address: string): boolean {
  return (spec?.cidrs ?? []).some((range) => contains(range, address));
}

/** Whether `address` is in "10.96.0.0/12" or "fd00::/108"; false across families. */
export function contains(range: string, address: string): boolean {
  const [base = "", length = "0"] = range.split("/");
  const width = isIpv4(base) ? 32 : 128;
  const [a, b] = [toBits(base), toBits(address)];
  if (a === undefined || b === undefined || isIpv4(base) !== isIpv4(address)) return false;
  const shift = BigInt(width - Number(length));
  return a >> shift === b >> shift;
}

function toBits(address: string): bigint | undefined {
  if (isIpv4(address)) return address.split(".").reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
  if (!isIpv6(address)) return undefined;
  // A trailing IPv4 part counts as two groups.
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts: string[]) => {
    const [w, x, y, z] = parts.map(Number);
    return `${(((w ?? 0) << 8) | (x ?? 0)).toString(16)}:${(((y ?? 0) << 8) | (z ?? 0)).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const groups = (text: string | undefined) => (text === undefined || text === "" ? [] : text.split(":"));
  const [front, back] = [groups(head), groups(tail)];
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  const all = [...front, ...Array.from({ length: zeros }, () => "0"), ...back];
  return all.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

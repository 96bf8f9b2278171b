/** Records as lines of a zone file: how people read them and tests state them. Source: RFC 1035 5.1 */
import { CLASS_IN, typeName, types } from "./codes.ts";
import type { ResourceRecord } from "./message.ts";
import { addressText, nameText } from "./name.ts";

/** "web.default.svc.cluster.local. 5 IN A 10.96.0.20" */
export function recordText(record: ResourceRecord): string {
  const recordClass = record.class === CLASS_IN ? "IN" : `CLASS${record.class}`;
  return `${nameText(record.name)} ${record.ttlSeconds} ${recordClass} ${typeName(record.type)} ${dataText(record)}`;
}

function dataText({ type, data }: ResourceRecord): string {
  switch (type) {
    case types.A:
    case types.AAAA:
      return addressText(data);
    case types.NS:
    case types.CNAME:
    case types.PTR:
      return nameText(data);
    case types.MX:
      return `${data.readUInt16BE(0)} ${nameText(data.subarray(2))}`;
    case types.SRV:
      return `${data.readUInt16BE(0)} ${data.readUInt16BE(2)} ${data.readUInt16BE(4)} ${nameText(data.subarray(6))}`;
    case types.SOA:
      return soaText(data);
    case types.TXT:
      return textStrings(data);
    default:
      return `\\# ${data.length} ${data.toString("hex")}`;
  }
}

function soaText(data: Buffer): string {
  const numbers = data.subarray(-20);
  const mailbox = data.subarray(data.indexOf(0) + 1);
  const values = [0, 4, 8, 12, 16].map((at) => numbers.readUInt32BE(at));
  return [nameText(data), nameText(mailbox), ...values].join(" ");
}

function textStrings(data: Buffer): string {
  const strings: string[] = [];
  for (let at = 0; at < data.length; at += 1 + (data[at] ?? 0)) {
    strings.push(JSON.stringify(data.toString("latin1", at + 1, at + 1 + (data[at] ?? 0))));
  }
  return strings.join(" ");
}

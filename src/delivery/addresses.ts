/** Which addresses the public internet reaches. Used by `outbound.ts`, and where a URL is checked beforehand. */
import { BlockList, isIP } from 'node:net';

/** Not for the public internet (IANA's registries of special-purpose addresses), multicast, reserved. */
const SPECIAL_IPV4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const;

/** Special parts of the one range that the internet uses, 2000::/3; some of them lead to any IPv4 address. */
const SPECIAL_IPV6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const special = new BlockList();
const global = new BlockList();
for (const [net, bits] of SPECIAL_IPV4) {
  special.addSubnet(net, bits, 'ipv4');
  special.addSubnet(`64:ff9b::${net}`, 96 + bits, 'ipv6'); // the same through a translator (RFC 6052, 3.1)
}
for (const [net, bits] of SPECIAL_IPV6) special.addSubnet(net, bits, 'ipv6');
global.addSubnet('2000::', 3, 'ipv6');
global.addSubnet('64:ff9b::', 96, 'ipv6');

/** Whether an address is one that the public internet reaches; what is no address is not. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return !special.check(address, 'ipv4');
  return version === 6 && global.check(address, 'ipv6') && !special.check(address, 'ipv6');
}

/** The address that a URL names itself, in brackets or not; undefined when it names a host. */
export function literalAddress({ hostname }: URL): string | undefined {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1');
  return isIP(bare) === 0 ? undefined : bare;
}

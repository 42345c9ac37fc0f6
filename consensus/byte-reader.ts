// Owns reading of untrusted bytes: every read is bounded and answers null beyond the end; numbers stay exact in a double.

export type ByteReader = Readonly<{
  u8(): number | null;
  u16(): number | null;
  u32(): number | null;
  /** Null also where the value is above `limit`. */
  u64(limit: number): number | null;
  bytes(length: number): Uint8Array | null;
  remaining(): number;
}>;

export function byteReader(source: Uint8Array): ByteReader {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  let at = 0;
  function take(length: number): number | null {
    if (length < 0 || length > source.length - at) return null;
    at += length;
    return at - length;
  }
  return {
    u8() {
      const from = take(1);
      return from === null ? null : view.getUint8(from);
    },
    u16() {
      const from = take(2);
      return from === null ? null : view.getUint16(from);
    },
    u32() {
      const from = take(4);
      return from === null ? null : view.getUint32(from);
    },
    u64(limit) {
      const from = take(8);
      if (from === null) return null;
      const value = view.getBigUint64(from);
      return value > BigInt(limit) ? null : Number(value);
    },
    bytes(length) {
      const from = take(length);
      return from === null ? null : new Uint8Array(source.subarray(from, from + length));
    },
    remaining: () => source.length - at,
  };
}

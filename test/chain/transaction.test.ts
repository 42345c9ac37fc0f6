// Owns the decoding of transactions against the library: any fields, every type, the same hash, sender, gas and floor.

import { createTx, getCalldataFloorGas, type TypedTransaction } from '@ethereumjs/tx';
import { Address as EvmAddress } from '@ethereumjs/util';
import test from 'ava';
import { concat, toHex, utf8 } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { keccak256 as nobleKeccak256 } from '../../base/hash.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { createCommon } from '../../chain/evm.ts';
import { floorGas, intrinsicGas } from '../../chain/gas.ts';
import { keccak256, keccakName } from '../../chain/keccak.ts';
import { decodeTransaction, effectiveGasPrice, maximumCost } from '../../chain/transaction.ts';
import { decodeRlp, encodeRlp, minimal } from '../../chain/rlp.ts';
import { alice, CHAIN_ID, key, signed } from './support.ts';

const common = createCommon(CHAIN_ID);

function big(random: Prng, bytes: number): bigint {
  return BigInt(toHex(Uint8Array.of(0, ...random.bytes(random.below(bytes + 1)))));
}

function sparse(random: Prng, length: number): Uint8Array {
  return random.bytes(length).map((byte) => (byte % 3 === 0 ? 0 : byte));
}

function randomTransaction(random: Prng): { tx: TypedTransaction; from: string } {
  const type = [0, 1, 2, 4][random.below(4)] as number;
  const from = key(`sender ${random.below(5)}`);
  const accessList = Array.from({ length: random.below(3) }, () => ({
    address: toHex(random.bytes(20)),
    storageKeys: Array.from({ length: random.below(3) }, () => toHex(random.bytes(32))),
  }));
  const tip = big(random, 5);
  const fields = {
    type,
    nonce: big(random, 6),
    gasLimit: big(random, 7),
    value: big(random, 12),
    data: sparse(random, random.below(80)),
    ...(random.below(4) === 0 && type !== 4 ? {} : { to: new EvmAddress(random.bytes(20)) }),
    ...(type < 2 ? { gasPrice: big(random, 6) } : { maxPriorityFeePerGas: tip, maxFeePerGas: tip + big(random, 5) }),
    ...(type === 0 ? {} : { chainId: CHAIN_ID, accessList }),
    ...(type === 4
      ? {
          authorizationList: [
            {
              chainId: '0x01',
              address: toHex(random.bytes(20)),
              nonce: '0x05',
              yParity: '0x01',
              r: toHex(random.bytes(32)).replace('0x0', '0x1'),
              s: '0x02',
            },
          ],
        }
      : {}),
  };
  return { tx: createTx(fields as never, { common }).sign(from.secret) as TypedTransaction, from: from.address };
}

test('every type decodes to the fields, hash and sender the library sees, and owes the same gas', (t) => {
  const random = prng('transactions 1');
  for (let i = 0; i < 150; i++) {
    const { tx, from } = randomTransaction(random);
    const decoded = unwrap(decodeTransaction(tx.serialize()));
    t.is(decoded.hash, toHex(tx.hash()));
    t.is(decoded.from, from as typeof decoded.from);
    t.deepEqual([decoded.type, BigInt(decoded.nonce), decoded.gas, decoded.value, toHex(decoded.input), decoded.to], [
      tx.type,
      tx.nonce,
      tx.gasLimit,
      tx.value,
      toHex(tx.data),
      tx.to?.toString() ?? null,
    ] as never);
    t.is(intrinsicGas(decoded), tx.getIntrinsicGas());
    t.is(floorGas(decoded.input), getCalldataFloorGas(tx, new EvmAddress(new Uint8Array(20))));
    t.true(effectiveGasPrice(decoded, 7n) <= (decoded.gasPrice ?? decoded.maxFeePerGas ?? 0n));
    t.true(maximumCost(decoded) >= decoded.value);
  }
});

test('a cut, lengthened or bent transaction is a Fault or another transaction, never a throw', (t) => {
  const random = prng('transactions 2');
  for (let i = 0; i < 40; i++) {
    const { tx } = randomTransaction(random);
    const raw = tx.serialize();
    t.false(decodeTransaction(raw.subarray(0, raw.length - 1)).ok);
    t.false(decodeTransaction(Uint8Array.of(...raw, 0)).ok);
    for (let k = 0; k < 8; k++) {
      const bent = raw.slice();
      bent[random.below(bent.length)] = random.below(256);
      const decoded = decodeTransaction(bent);
      if (decoded.ok && toHex(bent) !== toHex(raw)) t.not(decoded.value.hash, toHex(tx.hash()));
    }
  }
});

test('a high s is refused: only one signature of a transaction is valid', (t) => {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const good = signed(alice, 0);
  const items = decodeRlp(good.raw.subarray(1)) as Uint8Array[];
  const flipped = [...items.slice(0, 9), minimal(1n - good.v), minimal(good.r), minimal(order - good.s)];
  const refused = decodeTransaction(concat(Uint8Array.of(2), encodeRlp(flipped)));
  t.is(refused.ok ? '' : refused.message, 'invalid transaction v, r, s values');
});

test('the fast hash is the reference hash', (t) => {
  const random = prng('keccak');
  for (const length of [0, 1, 55, 135, 136, 137, 1_000]) {
    const bytes = random.bytes(length);
    t.is(toHex(keccak256(bytes)), toHex(nobleKeccak256(bytes)));
  }
  t.log(keccakName);
  t.is(toHex(keccak256(utf8(alice.address))).length, 66);
});

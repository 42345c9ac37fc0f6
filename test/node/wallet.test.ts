import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { parseTransaction, recoverTransactionAddress } from 'viem';
import { fromHex, toHex } from '../../base/bytes.ts';
import { addressOfSecret } from '../../base/keys.ts';
import { prng } from '../../base/prng.ts';
import { VERSION } from '../../node/version.ts';
import { signTransaction } from '../../node/wallet.ts';

const random = prng('wallet');

test('what the node signs is what viem reads, by the signer', async (t) => {
  for (let i = 0; i < 40; i++) {
    const secretKey = random.bytes(32);
    const to = i % 5 === 0 ? null : toHex(random.bytes(20));
    const fields = {
      chainId: BigInt(random.below(1_000_000) + 1),
      nonce: BigInt(i === 0 ? 0 : random.u32()),
      maxPriorityFeePerGas: BigInt(random.u32()),
      maxFeePerGas: BigInt(random.u32()) + (1n << 33n),
      gas: BigInt(random.below(10_000_000) + 21_000),
      to,
      value: i % 3 === 0 ? 0n : BigInt(toHex(random.bytes(9))),
      data: random.bytes(random.below(70)),
    };
    const { raw, hash } = signTransaction(fields, secretKey);
    const serializedTransaction = toHex(raw) as `0x02${string}`;
    const parsed = parseTransaction(serializedTransaction);
    t.is(parsed.chainId, Number(fields.chainId));
    t.is(BigInt(parsed.nonce ?? 0), fields.nonce);
    t.is(parsed.maxFeePerGas, fields.maxFeePerGas);
    t.is(parsed.maxPriorityFeePerGas, fields.maxPriorityFeePerGas || undefined);
    t.is(parsed.gas, fields.gas);
    t.is(parsed.to?.toLowerCase() ?? null, to);
    t.is(parsed.value ?? 0n, fields.value);
    t.deepEqual(fromHex(parsed.data ?? '0x'), fields.data);
    t.is((await recoverTransactionAddress({ serializedTransaction })).toLowerCase(), addressOfSecret(secretKey));
    t.is(hash.length, 66);
  }
});

test('the version the program says is the one of the package', (t) => {
  const path = fileURLToPath(new URL('../../../package.json', import.meta.url));
  t.is(JSON.parse(readFileSync(path, 'utf8')).version, VERSION);
});

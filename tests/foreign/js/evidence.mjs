// A second verifier of evidence, written from docs/spec/evidence.md; it shares no code with the first.
//
// Ed25519 and ML-DSA-87 are those of the npm packages @noble, hashes and AES-256-GCM are Node's;
// archive, notes, tree, MessagePack and Cobblestone-256 are written here from their specifications.
//
// Usage: node evidence.mjs TRUST FILE...
//
// TRUST holds verifier keys, one a line: of logs and cosigners, or of national roots. For each file
// one line of JSON: {"verdict": "VERIFIED" or "NOT VERIFIED", "reason": null or text, "proven": [...],
// "message": the disclosed message in base64, or null}.

import { createDecipheriv, createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ed25519 } from '@noble/curves/ed25519.js';
import { ml_dsa87 } from '@noble/post-quantum/ml-dsa.js';

const README_SHA256 = {
  'README.txt': 'e1efb45abf88a8605fb27e3e7584168561d9721880e77eef4d02015d65d5f9fd',
  'LISEZMOI.txt': 'bfb08b0e22c086d8044bf5370418f8b5d275e10436aff1603a22473abb8232c7',
};
const COSIGNATURE = Buffer.from('entente/ml-dsa-87-cosignature/v1');
const STATEMENT = Buffer.from('entente/ml-dsa-87-note/v1');
const MARKINGS = ['NON_PROTEGE', 'DIFFUSION_RESTREINTE', 'SECRET', 'TRES_SECRET', 'UNCLASSIFIED', 'CUI',
  'CONFIDENTIAL', 'TOP_SECRET'];
const PRECEDENCES = ['FLASH', 'IMMEDIATE', 'PRIORITY', 'ROUTINE'];

const hash = (name, ...parts) => {
  const state = createHash(name);
  parts.forEach((part) => state.update(part));
  return state.digest();
};
const sha256 = (...parts) => hash('sha256', ...parts);
const sha384 = (...parts) => hash('sha384', ...parts);
const same = (a, b) => Buffer.compare(a, b) === 0;
const u64 = (number) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(number)); return b; };

class Refused extends Error {}
const require_ = (condition, what) => { if (!condition) throw new Refused(what); };

const strictUtf8 = (bytes) => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused('UTF-8');
  }
};
const base64 = (text) => {
  const bytes = Buffer.from(text, 'base64');
  require_(bytes.toString('base64') === text, 'base64');
  return bytes;
};

// --- the archive: stored members in one form ------------------------------------------------

const CRC = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c >>> 0;
});
const crc32 = (bytes) => {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC[(c ^ byte) & 0xff] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
};

function writeArchive(members) {
  const files = [], directory = [];
  let offset = 0;
  for (const [name, content] of members) {
    const encoded = Buffer.from(name, 'latin1');
    const common = Buffer.alloc(22);
    common.writeUInt16LE(33, 6); // 1 January 1980
    common.writeUInt32LE(crc32(content), 8);
    common.writeUInt32LE(content.length, 12);
    common.writeUInt32LE(content.length, 16);
    common.writeUInt16LE(encoded.length, 20);
    files.push(Buffer.from('504b03040a00', 'hex'), common, Buffer.alloc(2), encoded, content);
    const rest = Buffer.alloc(16);
    rest.writeUInt32LE(0o100644 * 65536, 8);
    rest.writeUInt32LE(offset, 12);
    directory.push(Buffer.from('504b01020a030a00', 'hex'), common, rest, encoded);
    offset += 30 + encoded.length + content.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.write('504b0506', 'hex');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...files, ...directory, end]);
}

function readArchive(data) {
  require_(data.length <= 8 * 1024 * 1024, 'length of the archive');
  const members = [];
  let at = 0;
  while (at + 30 <= data.length && data.readUInt32LE(at) === 0x04034b50) {
    require_(members.length <= 1000, 'number of members');
    const size = data.readUInt32LE(at + 18), start = at + 30 + data.readUInt16LE(at + 26);
    require_(start + size <= data.length, 'size of a member');
    members.push([data.toString('latin1', at + 30, start), data.subarray(start, start + size)]);
    at = start + size;
  }
  require_(new Set(members.map(([name]) => name)).size === members.length, 'two members of one name');
  require_(same(writeArchive(members), data), 'form of the archive');
  return members;
}

// --- signed notes -----------------------------------------------------------------------------

function readNote(bytes) {
  require_(bytes.length <= 65536 && !bytes.some((b) => b < 32 && b !== 10), 'note');
  const separator = bytes.lastIndexOf('\n\n');
  require_(separator > 0, 'note');
  const lines = bytes.subarray(separator + 2);
  require_(lines.length && lines[lines.length - 1] === 10, 'note');
  const signatures = strictUtf8(lines.subarray(0, -1)).split('\n').map((line) => {
    const match = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/u.exec(line);
    require_(match, 'signature line');
    const material = base64(match[2]);
    require_(material.length > 4, 'signature line');
    return { name: match[1], id: material.subarray(0, 4), blob: material.subarray(4) };
  });
  require_(signatures.length <= 16, 'number of signatures');
  return { text: strictUtf8(bytes.subarray(0, separator + 1)), signatures };
}

function readVkey(line) {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/.exec(line);
  require_(match, 'verifier key');
  const material = base64(match[3]);
  const key = makeKey(match[1], material);
  require_(key.line === line, 'key ID of a verifier key');
  return key;
}

function makeKey(name, material) {
  const id = sha256(name, '\n', material).subarray(0, 4);
  let use = null, publicKey = material.subarray(1);
  if (material[0] === 0xff) {
    for (const [identifier, what] of [[COSIGNATURE, 'cosignature'], [STATEMENT, 'statement']]) {
      if (same(publicKey.subarray(0, identifier.length), identifier)) {
        use = what;
        publicKey = publicKey.subarray(identifier.length);
        break;
      }
    }
    require_(use && publicKey.length === 2592, 'ML-DSA-87 key');
  } else {
    use = { 1: 'note', 4: 'cosigner' }[material[0]];
    require_(use && publicKey.length === 32, 'Ed25519 key');
  }
  return { name, id, use, publicKey, line: `${name}+${id.toString('hex')}+${material.toString('base64')}` };
}

const renamed = (key, name) => makeKey(name, base64(key.line.split('+').slice(2).join('+')));

function blobOf(note, key) {
  const found = note.signatures.filter((line) => line.name === key.name && same(line.id, key.id));
  require_(found.length === 1, `one line of ${key.name}`);
  return found[0].blob;
}

const timed = (blob) => {
  require_(blob.length > 8, 'time of a signature');
  const time = blob.readBigUInt64BE(0);
  require_(time > 0n && time < 2n ** 63n, 'time of a signature');
  return time;
};
const checkEd25519 = (signature, message, key) => {
  let valid = false;
  try { valid = ed25519.verify(signature, message, key.publicKey, { zip215: false }); } catch { /* not a signature */ }
  require_(valid, `Ed25519 signature of ${key.name}`);
};
const checkMlDsa = (signature, message, key, context = Buffer.alloc(0)) => {
  let valid = false;
  try { valid = ml_dsa87.verify(signature, message, key.publicKey, { context }); } catch { /* not a signature */ }
  require_(valid, `ML-DSA-87 signature of ${key.name}`);
};

function readCheckpoint(text) {
  const match = /^([a-z0-9.-]+(?:\/[a-z0-9-]+)+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n$/.exec(text);
  require_(match && match[1].length <= 255, 'checkpoint');
  return { origin: match[1], size: BigInt(match[2]), root: base64(match[3]) };
}

function cosignedMessage(checkpoint, name, time) {
  return Buffer.concat([
    Buffer.from('subtree/v1\n\0'), Buffer.from([name.length]), Buffer.from(name), u64(time),
    Buffer.from([checkpoint.origin.length]), Buffer.from(checkpoint.origin), u64(0), u64(checkpoint.size),
    checkpoint.root,
  ]);
}

function checkLogNote(bytes, [classical, postQuantum]) {
  const note = readNote(bytes), checkpoint = readCheckpoint(note.text);
  require_(checkpoint.origin === classical.name, 'the log signs under its origin');
  const blob = blobOf(note, postQuantum), time = timed(blob);
  checkEd25519(blobOf(note, classical), Buffer.from(note.text), classical);
  checkMlDsa(blob.subarray(8), cosignedMessage(checkpoint, postQuantum.name, time), postQuantum);
  return checkpoint;
}

function checkCosignature(bytes, [classical, postQuantum]) {
  const note = readNote(bytes), checkpoint = readCheckpoint(note.text);
  const first = blobOf(note, classical), second = blobOf(note, postQuantum);
  const time = timed(first);
  require_(time === timed(second), 'one time of a cosignature');
  checkEd25519(first.subarray(8), Buffer.from(`cosignature/v1\ntime ${time}\n${note.text}`), classical);
  checkMlDsa(second.subarray(8), cosignedMessage(checkpoint, postQuantum.name, time), postQuantum);
}

// --- proofs: C2SP tlog-proof, RFC 9162 section 2.1.3.2 ----------------------------------------------

function readProof(bytes) {
  const end = bytes.indexOf('\n\n');
  require_(end > 0, 'proof');
  const [title, index, ...hashes] = bytes.toString('latin1', 0, end).split('\n');
  require_(title === 'c2sp.org/tlog-proof@v1' && /^index (0|[1-9][0-9]{0,18})$/.test(index), 'proof');
  require_(hashes.length <= 63 && hashes.every((line) => /^[A-Za-z0-9+/]{43}=$/.test(line)), 'proof');
  return { index: BigInt(index.slice(6)), hashes: hashes.map(base64), note: bytes.subarray(end + 2) };
}

function checkInclusion(entry, proof, checkpoint) {
  require_(proof.index < checkpoint.size && proof.hashes.length <= 63, 'index');
  let fn = proof.index, sn = checkpoint.size - 1n, r = sha256('\0', entry);
  for (const p of proof.hashes) {
    require_(sn > 0n, 'length of a proof');
    if (fn & 1n || fn === sn) {
      r = sha256('\x01', p, r);
      while (fn !== 0n && !(fn & 1n)) { fn >>= 1n; sn >>= 1n; }
    } else {
      r = sha256('\x01', r, p);
    }
    fn >>= 1n; sn >>= 1n;
  }
  require_(sn === 0n && same(r, checkpoint.root), 'inclusion proof');
}

// --- MessagePack in its one form: arrays, integers, bytes, text, booleans, nil -------------------------

function unpack(bytes) {
  let at = 0;
  const take = (count) => {
    require_(at + count <= bytes.length, 'MessagePack');
    at += count;
    return bytes.subarray(at - count, at);
  };
  const sized = (width, least) => {
    const number = take(width).readUIntBE(0, width);
    require_(number >= least, 'shortest form');
    return number;
  };
  const array = (count) => Array.from({ length: count }, () => value());
  const value = () => {
    const byte = take(1)[0];
    if (byte < 0x80) return byte;
    if (byte >> 4 === 9) return array(byte & 15);
    if (byte >> 5 === 5) return strictUtf8(take(byte & 31));
    switch (byte) {
      case 0xc0: return null;
      case 0xc4: return Buffer.from(take(sized(1, 0)));
      case 0xc5: return Buffer.from(take(sized(2, 256)));
      case 0xc6: return Buffer.from(take(sized(4, 65536)));
      case 0xcc: return sized(1, 128);
      case 0xcd: return sized(2, 256);
      case 0xce: return sized(4, 65536);
      case 0xcf: {
        const number = take(8).readBigUInt64BE(0);
        require_(number >= 2n ** 32n && number <= 2n ** 53n, 'integer');
        return Number(number);
      }
      case 0xd9: return strictUtf8(take(sized(1, 32)));
      case 0xda: return strictUtf8(take(sized(2, 256)));
      case 0xdc: return array(sized(2, 16));
      default: throw new Refused('MessagePack');
    }
  };
  const result = value();
  require_(at === bytes.length, 'bytes behind a value');
  return result;
}

// --- content: Cobblestone-256 (C2SP chunked-encryption) ---------------------------------------------

function openContent(ciphertext, key, header) {
  require_(key.length === 32 && ciphertext.length >= 72, 'content');
  const salt = ciphertext.subarray(0, 24);
  const info = Buffer.concat([
    Buffer.from('c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0'), salt, Buffer.from('entente/content/v1\0'), header,
  ]);
  let derived = Buffer.alloc(0), block = Buffer.alloc(0);
  for (let counter = 1; derived.length < 76; counter++) {
    block = createHmac('sha512', key).update(block).update(info).update(Buffer.from([counter])).digest();
    derived = Buffer.concat([derived, block]);
  }
  require_(same(derived.subarray(44, 76), ciphertext.subarray(24, 56)), 'commitment of the ciphertext');
  const parts = [];
  for (let at = 56, number = 0n; ; at += 16400, number++) {
    const chunk = ciphertext.subarray(at, at + 16400);
    require_(chunk.length >= 16, 'end of the ciphertext');
    const nonce = Buffer.from(derived.subarray(32, 44));
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ number, 4);
    const decipher = createDecipheriv('aes-256-gcm', derived.subarray(0, 32), nonce);
    decipher.setAuthTag(chunk.subarray(-16));
    try {
      parts.push(decipher.update(chunk.subarray(0, -16)), decipher.final());
    } catch {
      throw new Refused('ciphertext');
    }
    if (chunk.length < 16400) break;
  }
  const content = Buffer.concat(parts);
  require_(content.length > 4, 'content');
  const end = 4 + content.readUInt32BE(0);
  require_(end <= content.length && content.length === padded(end), 'padding');
  require_(content.subarray(end).every((byte) => byte === 0), 'padding');
  const [message, manifest, reserved, ...more] = unpack(content.subarray(4, end));
  require_(Buffer.isBuffer(message) && Array.isArray(manifest) && reserved === null && !more.length, 'content');
  return message;
}

function padded(length) {
  if (length < 2) return length;
  const exponent = 31 - Math.clz32(length);
  const mask = 2 ** (exponent - (32 - Math.clz32(exponent))) - 1;
  return Math.floor((length + mask) / (mask + 1)) * (mask + 1);
}

function checkHeader(message, fields) {
  const document = JSON.parse(strictUtf8(message)), header = document.header;
  const time = (text) => Date.parse(text);
  const id = (text) => Buffer.from(text.replaceAll('-', ''), 'hex');
  require_(
    same(id(header.message_id), fields[2]) && time(header.created_at) === fields[3]
      && time(header.expires_at) === fields[4] && header.from.agency === fields[7]
      && JSON.stringify(header.to.map((to) => to.agency)) === JSON.stringify(fields[8])
      && document.type === fields[9] && header.precedence === PRECEDENCES[fields[11]]
      && header.marking.level === MARKINGS[fields[12]] && same(id(header.conversation.id), fields[13])
      && (header.attachments ?? []).reduce((sum, item) => sum + item.size, 0) === fields[14],
    'the message does not say what its header says',
  );
}

// --- key statements -----------------------------------------------------------------------------------

// The keys of a log also sign its later generations, under their names.
const firstOf = (origin) => /^(.+)\/(?:[2-9]|[1-9][0-9]{1,8})$/.exec(origin)?.[1] ?? origin;
const pairsOf = (known, name) => known.get(name)
  ?? known.get(firstOf(name))?.map((pair) => pair.map((key) => renamed(key, name)));

function statedKeys(statement, origin) {
  const first = firstOf(origin);
  const lines = readNote(statement).text.split('\n');
  const logs = lines.filter((line) => line.startsWith(`log ${first}+`)).map((line) => readVkey(line.slice(4)));
  const peers = lines.filter((line) => line.startsWith('cosigner ')).map((line) => readVkey(line.slice(9)));
  require_(logs.map((key) => key.use).join() === 'note,cosignature', 'keys of a log');
  require_(peers.map((key) => key.use).join() === 'cosigner,cosignature', 'keys of a cosigner');
  require_(peers[0].name === peers[1].name, 'keys of a cosigner');
  return { log: logs.map((key) => renamed(key, origin)), cosigner: peers };
}

function checkStatement(statement, node, agencies, trust) {
  const note = readNote(statement);
  const head = /^entente\/key-statement\/v1\nnation ([A-Z]{2})\nnode ([a-z0-9.-]{1,253})\nversion [1-9][0-9]{0,15}\nissued [0-9TZ:-]{20}\nmode (?:test|production)\n/.exec(note.text);
  require_(head && head[2] === node, 'key statement');
  // A root vouches for the node of its own nation alone.
  require_(agencies.every((agency) => agency.split('.')[0] === head[1]), 'nation of a statement');
  const roots = trust.get(`entente/root/${head[1].toLowerCase()}`);
  if (!roots) return false;
  // A root may have been replaced: the one whose line stands in the note has to have signed it.
  const has = (key) => note.signatures.some((line) => line.name === key.name && same(line.id, key.id));
  const root = roots.find(([classical]) => has(classical)) ?? roots[0];
  const message = Buffer.from(note.text);
  checkEd25519(blobOf(note, root[0]), message, root[0]);
  checkMlDsa(blobOf(note, root[1]), message, root[1], STATEMENT);
  return true;
}

const versionOf = (statement) => Number(/^version (\d+)$/m.exec(readNote(statement).text)[1]);

// Whether a later key of the cosigner is stated in the file, or trusted: then nobody knows who has the old one.
function isReplaced(keys, statements, origin, trusted) {
  const last = (pair) => Math.max(0, ...statements
    .filter((statement) => text(statedKeys(statement, origin).cosigner) === text(pair)).map(versionOf));
  const own = last(keys), at = trusted.findIndex((pair) => text(pair) === text(keys));
  return statements.some((statement) => versionOf(statement) > own)
    || trusted.slice(at + 1).some((pair) => !(last(pair) > 0 && last(pair) < own));
}

// --- the whole ------------------------------------------------------------------------------------------

const text = (keys) => keys.map((key) => `${key.line}\n`).join('');

function checkMembers(members) {
  const files = new Map(members);
  const file = (name) => { require_(files.has(name), `${name} is absent`); return files.get(name); };
  for (const [name, digest] of Object.entries(README_SHA256)) {
    require_(sha256(file(name)).toString('hex') === digest, name);
  }
  const message = readProof(file('entry.tlog-proof'));
  const origin = readCheckpoint(readNote(message.note).text).origin;
  const receiverOrigin = file('keys/receiver.vkeys').toString('latin1').split('+')[0];
  const sender = statedKeys(file('keys/sender-statement.note'), origin);
  const receiver = statedKeys(file('keys/receiver-statement.note'), receiverOrigin);
  const apart = files.get('keys/receiver-cosigner-statement.note');
  if (apart) {
    const other = statedKeys(apart, receiverOrigin).cosigner;
    require_(text(other) !== text(receiver.cosigner), 'a second statement for the same keys');
    receiver.cosigner = other;
  }
  const policy = `log ${sender.log[0].line}\nwitness sender-ml-dsa-87 ${sender.log[1].line}\n`
    + `witness receiver-ed25519 ${receiver.cosigner[0].line}\nwitness receiver-ml-dsa-87 ${receiver.cosigner[1].line}\n`
    + 'group everybody all sender-ml-dsa-87 receiver-ed25519 receiver-ml-dsa-87\nquorum everybody\n';
  require_(file('policy').toString() === policy, 'policy');
  require_(file('keys/sender.vkeys').toString() === text([...sender.log, ...sender.cosigner]), 'keys of the sender');
  require_(file('keys/receiver.vkeys').toString() === text([...receiver.log, ...receiver.cosigner]), 'keys of the receiver');
  const schema = [...files.keys()].filter((name) => name.startsWith('schema/')).sort();
  const optional = (...names) => (names.some((name) => files.has(name)) ? names : []);
  const expected = ['README.txt', 'LISEZMOI.txt', 'policy', 'entry', 'entry.tlog-proof',
    ...optional('receipt', 'receipt.tlog-proof'), ...optional('receipt.path'), ...optional('ciphertext'), ...optional('content-key'),
    'keys/sender.vkeys', 'keys/receiver.vkeys', 'keys/sender-statement.note', 'keys/receiver-statement.note',
    ...optional('keys/receiver-cosigner-statement.note'), ...schema];
  require_(JSON.stringify(members.map(([name]) => name)) === JSON.stringify(expected), 'members');
  return { files, message, origin, receiverOrigin, sender, receiver, schema };
}

function verify(data, trust) {
  const proven = [];
  const { files, message, origin, receiverOrigin, sender, receiver, schema } = checkMembers(readArchive(data));
  const known = new Map(trust);
  const learn = (keys) => {
    const trusted = pairsOf(known, keys[0].name);
    require_(!trusted || trusted.some((pair) => text(pair) === text(keys)), 'other keys than the trusted ones');
    known.set(keys[0].name, trusted ?? [keys]);
  };
  const needed = (keys) => {
    const trusted = pairsOf(known, keys[0].name) ?? [];
    require_(trusted.some((pair) => text(pair) === text(keys)), `trusted keys of ${keys[0].name}`);
    return keys;
  };
  const entry = files.get('entry');
  const [kind, header, , , , , digest, length] = unpack(entry);
  require_(kind === 1 && Buffer.isBuffer(header), 'a message entry');
  const fields = unpack(header);
  require_(fields.length === 15 && fields[0] === 1 && fields[1] === 1, 'header');
  const apart = 'keys/receiver-cosigner-statement.note';
  require_(!fields[8].some((agency) => agency.split('.')[0] === fields[7].split('.')[0]), 'agencies of two nations');
  for (const [name, log, node, agencies, ...vouched] of [
    ['keys/sender-statement.note', origin, fields[5], [fields[7]], sender.log, sender.cosigner],
    ['keys/receiver-statement.note', receiverOrigin, fields[6], fields[8], receiver.log, ...(files.has(apart) ? [] : [receiver.cosigner])],
    ...(files.has(apart) ? [[apart, receiverOrigin, fields[6], fields[8], receiver.cosigner]] : [])]) {
    require_(log.split('/')[0] === node, 'node of a statement');
    if (checkStatement(files.get(name), node, agencies, trust)) vouched.forEach(learn);
  }
  checkInclusion(entry, message, checkLogNote(message.note, needed(sender.log)));
  proven.push('origin');
  let answer = null, isTied = false;
  require_(files.has('receipt') || !files.has('receipt.path'), 'a path without a receipt');
  if (files.has('receipt')) {
    const proof = readProof(files.get('receipt.tlog-proof'));
    const checkpoint = checkLogNote(proof.note, needed(receiver.log));
    checkInclusion(files.get('receipt'), proof, checkpoint);
    answer = unpack(files.get('receipt'));
    const [what, about, start, count, root] = answer;
    require_(what === 2 && about === origin && BigInt(start) <= message.index
      && message.index < BigInt(start + count), 'a receipt for this message');
    const path = files.get('receipt.path');
    if (path) {
      require_(path.length % 32 === 0, 'a path');
      const hashes = Array.from({ length: path.length / 32 }, (_, n) => path.subarray(32 * n, 32 * n + 32));
      checkInclusion(entry, { index: message.index, hashes }, { size: BigInt(start + count), root });
      isTied = true;
    }
  }
  const lines = readNote(message.note).signatures;
  if (receiver.cosigner.some((key) => lines.some((line) => line.name === key.name && same(line.id, key.id)))) {
    checkCosignature(message.note, needed(receiver.cosigner));
    const statements = ['keys/receiver-statement.note', apart].filter((name) => files.has(name)).map((name) => files.get(name));
    if (isTied || !isReplaced(receiver.cosigner, statements, receiverOrigin, pairsOf(known, fields[6]) ?? [])) {
      proven.push('delivery');
      isTied = true;
    }
  }
  if (answer && isTied) proven.push('acceptance');
  if (schema.length) {
    const list = schema.map((name) => `${sha384(files.get(name)).toString('hex')}  ${name.slice(7)}\n`).join('');
    require_(same(sha384(list), fields[10]), 'digest of the schema');
  }
  let content = null;
  const ciphertext = files.get('ciphertext'), key = files.get('content-key');
  require_(ciphertext || !key, 'a content key without ciphertext');
  if (ciphertext) {
    require_(same(sha384(ciphertext), digest) && ciphertext.length === length, 'digest of the ciphertext');
    if (key) {
      content = openContent(ciphertext, key, header);
      checkHeader(content, fields);
      proven.push('content');
    }
  }
  return { proven, content };
}

function readTrust(path) {
  // By name the pairs of keys that it has had, Ed25519 and ML-DSA-87, one pair behind the other.
  const trust = new Map();
  for (const line of readFileSync(path, 'ascii').split('\n').filter(Boolean)) {
    const key = readVkey(line), pairs = trust.get(key.name) ?? [];
    if (pairs.at(-1)?.length === 1) pairs.at(-1).push(key); else pairs.push([key]);
    trust.set(key.name, pairs);
  }
  return trust;
}

const [trustFile, ...paths] = process.argv.slice(2);
const trust = readTrust(trustFile);
for (const path of paths) {
  let result;
  try {
    const { proven, content } = verify(readFileSync(path), trust);
    result = { verdict: 'VERIFIED', reason: null, proven, message: content && content.toString('base64') };
  } catch (error) {
    // Whatever else went wrong while reading a foreign file, it is not verified.
    result = { verdict: 'NOT VERIFIED', reason: `${error.message}`, proven: [], message: null };
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

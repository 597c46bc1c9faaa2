// Checks a C2SP checkpoint in a signed note with nothing but Node.js' own crypto: written from
// c2sp.org/signed-note and c2sp.org/tlog-checkpoint, sharing no code with Folkmoot.
//
//   node verify_note.js NOTE_FILE PUBLIC_KEY_HEX LEAF_HEX...
//
// The leaves are the log's entries; their RFC 6962 root must be the checkpoint's. Exit status 0 only if
// everything holds.
'use strict';
const crypto = require('crypto');
const fs = require('fs');

const [noteFile, keyHex, ...leaves] = process.argv.slice(2);
const note = fs.readFileSync(noteFile, 'utf8');
const split = note.indexOf('\n\n');
if (split < 0) throw new Error('no blank line before the signatures');
const text = note.slice(0, split + 1);
const signatures = note.slice(split + 2).split('\n').filter((line) => line !== '');
const [origin, size, root, ...extensions] = text.split('\n').slice(0, -1);

const key = Buffer.from(keyHex, 'hex');
const keyId = crypto.createHash('sha256')
    .update(Buffer.concat([Buffer.from(origin + '\n'), Buffer.from([1]), key])).digest().subarray(0, 4);
const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key]);
const publicKey = crypto.createPublicKey({ key: spki, format: 'der', type: 'spki' });

let valid = 0;
for (const line of signatures) {
    const match = /^\u2014 (\S+) (\S+)$/.exec(line);
    if (!match) throw new Error('a signature line has another form: ' + line);
    const bytes = Buffer.from(match[2], 'base64');
    if (match[1] !== origin || !bytes.subarray(0, 4).equals(keyId)) continue;
    if (crypto.verify(null, Buffer.from(text), publicKey, bytes.subarray(4))) valid++;
}
if (valid !== 1) throw new Error('no valid signature by the log\'s key');

const sha = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();
function mth(items) { // RFC 6962 section 2.1
    if (items.length === 0) return sha(Buffer.alloc(0));
    if (items.length === 1) return sha(Buffer.from([0]), items[0]);
    let k = 1;
    while (k * 2 < items.length) k *= 2;
    return sha(Buffer.from([1]), mth(items.slice(0, k)), mth(items.slice(k)));
}
if (size !== String(leaves.length)) throw new Error(`size ${size}, not ${leaves.length}`);
if (mth(leaves.map((leaf) => Buffer.from(leaf, 'hex'))).toString('base64') !== root)
    throw new Error('another root');
if (extensions.length !== 1 || !/^time \d+$/.test(extensions[0]))
    throw new Error('other extension lines: ' + extensions.join('|'));

// The floor: node:http and one ES256 signature, nothing else.
import { generateKeyPairSync, sign } from 'node:crypto';
import http from 'node:http';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const head = Buffer.from('{"alg":"ES256","typ":"at+jwt"}').toString('base64url');
http
  .createServer((req, res) => {
    req.resume().on('end', () => {
      const now = Math.floor(Date.now() / 1000);
      const body = Buffer.from(JSON.stringify({ sub: 'x', iat: now, exp: now + 600 })).toString('base64url');
      const signature = sign('sha256', Buffer.from(`${head}.${body}`), {
        key: privateKey,
        dsaEncoding: 'ieee-p1363',
      });
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ access_token: `${head}.${body}.${signature.toString('base64url')}` }));
    });
  })
  .listen(Number(process.argv[2]), '127.0.0.1', () => console.log('up'));

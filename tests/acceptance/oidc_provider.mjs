// panva's oidc-provider over TLS, with the people and clients that its argument (JSON) names. For tests/acceptance/oidc.sh.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const { port, certificate, key, algorithm, clients, people, inIdToken } = JSON.parse(process.argv[2]);
const kinds = { ES256: ["ec", { namedCurve: "P-256" }], Ed25519: ["ed25519", {}] };
const { privateKey } = generateKeyPairSync(...(kinds[algorithm] ?? ["rsa", { modulusLength: 2048 }]));

const provider = new Provider(`https://127.0.0.1:${port}`, {
  clients: clients.map((each) => ({ ...each, id_token_signed_response_alg: algorithm })),
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: algorithm }] },
  enabledJWA: { idTokenSigningAlgValues: [algorithm] },
  claims: { openid: ["sub"], profile: ["preferred_username", "roles"] },
  conformIdTokenClaims: !inIdToken,
  cookies: { keys: ["of the tests alone"] },
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({ sub, preferred_username: `${sub}@hospital.example`, roles: people[sub] ?? [] }),
  }),
});
const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback());
server.listen(port, "127.0.0.1", () => console.log("listening"));

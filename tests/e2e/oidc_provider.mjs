// SPDX-License-Identifier: Apache-2.0
//
// An OpenID provider for test_oidc_provider.py: npm's `oidc-provider`, which gives JWT access tokens to one client.
//
//     node oidc_provider.mjs FOLDER PORT
//
// FOLDER is where `oidc-provider` is installed. The environment has the client in CLIENT_ID and CLIENT_SECRET, and in
// JWKS the private keys: all are published, and the first one signs.

import process from "node:process";
import { pathToFileURL } from "node:url";

const [folder, port] = process.argv.slice(2);
const { CLIENT_ID, CLIENT_SECRET, JWKS } = process.env;
const { Provider } = await import(pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`));

const jwks = JSON.parse(JWKS);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks,
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      grant_types: ["client_credentials"],
      response_types: [],
      redirect_uris: [],
    },
  ],
  // Signs access tokens too, unless a resource has an algorithm of its own.
  clientDefaults: { id_token_signed_response_alg: jwks.keys[0].alg },
  enabledJWA: { idTokenSigningAlgValues: jwks.keys.map((key) => key.alg) },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      // `https://NAME.test` has the audience NAME.
      getResourceServerInfo: (_, resource) => ({
        audience: new URL(resource).hostname.split(".")[0],
        scope: "",
        accessTokenFormat: "jwt",
        accessTokenTTL: 24 * 60 * 60,
      }),
    },
  },
});

provider.listen(Number(port), "127.0.0.1");

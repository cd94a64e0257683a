// The signed-in user of a page: the name in its header, the lock of a page that nothing is done on, and the way out.

import { at } from "./elements.js";
import { lockAfter } from "./lock.js";
import * as server from "./server.js";
import { run } from "./telling.js";
import { parts } from "./texts.js";
import { isolated } from "./words.js";

/** Ask who is signed in, show it, and return the server's answer; `leaving` is done before the session is ended. */
export async function showSession(leaving = async () => {}) {
  const found = await server.get("/api/session");
  document.body.dataset.role = found.role;
  lockAfter(found.idle_lock_s);
  at("who").hidden = found.local;
  at("user").replaceChildren(...(found.role === "reader" ? [isolated(found.user)] : parts(`role.${found.role}`, { user: isolated(found.user) })));
  at("sign-out").hidden = !found.sign_out;
  at("sign-out").onclick = () => run(() => signOut(found.sign_out, leaving));
  return found;
}

async function signOut(address, leaving) {
  await leaving();
  server.session.end();
  if (!address.startsWith("/api/")) return location.assign(address); // the reverse proxy's
  const { page, leave } = await server.post(address, {});
  if (leave) return server.leave(leave);
  return server.signIn(page);
}

// The language of the page: chosen here, kept by the server for each user, and by a cookie for the pages before the sign-in.

import { at } from "./elements.js";
import * as server from "./server.js";

const COOKIE = "triage-language";

const kept = () => document.cookie.split("; ").find((each) => each.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1) ?? null;

function keep(language) {
  const path = server.here("/");
  document.cookie = `${COOKIE}=${language ?? ""}; path=${path}; max-age=${language ? 31_536_000 : 0}; samesite=lax`;
}

/** Connect the select; `arrangement` has the server keep the choice, null for the language of site or browser. */
export function chooseLanguage(arrangement, run) {
  at("language").value = kept() ?? "";
  at("language").addEventListener("change", () =>
    run(async () => {
      const language = at("language").value || null;
      await arrangement.change({ language });
      keep(language);
      location.reload();
    }),
  );
}

/** Show the page in the language that its user has chosen, here or elsewhere; the one before may have chosen another. */
export function followLanguage(language) {
  if (language === undefined || language === kept()) return;
  keep(language);
  if (kept() === language) location.reload(); // a browser that keeps nothing stays as it is
}

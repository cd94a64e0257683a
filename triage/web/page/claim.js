// Claims: a reader claims the workitem of the open study on purpose, and ends the claim by R or with a reason.

import { at, element } from "./elements.js";
import * as server from "./server.js";
import { parts, text } from "./texts.js";
import { moment } from "./words.js";

export class Claim {
  #uid = null;

  /** `run` runs an action and shows its error, `presence` knows the user, `changed` is called after an act. */
  constructor(run, presence, changed) {
    this.run = run;
    this.presence = presence;
    this.changed = changed;
    at("claim-text").textContent = text("claim.claim");
    at("release").textContent = text("claim.release");
    at("claim").addEventListener("click", () => this.claim());
    at("release").addEventListener("click", () => this.#ask());
    at("release-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#release();
    });
    at("release-cancel").addEventListener("click", () => at("releasing").close());
  }

  claim() {
    if (at("claim").hidden || at("claim").disabled) return;
    this.#post(this.#uid, "claim", {});
  }

  /** Show the claim of a study: null for none, undefined where workitems are off. */
  show(uid, claim, tagged) {
    this.#uid = uid;
    at("claim").hidden = claim === undefined || claim?.via === "site"; // workitems may be off here
    at("claim").disabled = !tagged || Boolean(claim);
    const isMine = claim?.via === "page" && claim.by === this.presence.user;
    at("claim").setAttribute("aria-pressed", String(isMine));
    const words = claim ? said(claim, isMine) : [];
    const made = element("p", {}, ...words);
    if (at("together-claim").innerHTML !== made.innerHTML) at("together-claim").replaceChildren(...made.childNodes);
    at("together-claim").hidden = !claim;
    at("release").hidden = !(isMine || (claim?.via === "page" && document.body.dataset.role === "admin"));
  }

  #ask() {
    at("releasing").dataset.uid = this.#uid; // of this study, whatever is shown when it is sent
    at("release-reason").value = "";
    at("releasing").showModal();
    at("release-reason").focus();
  }

  #release() {
    at("releasing").close();
    this.#post(at("releasing").dataset.uid, "release", { reason: at("release-reason").value });
  }

  #post(uid, act, body) {
    this.run(async () => {
      try {
        await server.post(`/api/studies/${uid}/${act}`, body);
      } finally {
        await this.changed();
      }
    });
  }
}

/** The words for a claim in the list. */
export const claimant = (claim) => (claim ? (claim.via === "page" ? claim.by : text("claim.held", { by: claim.by || text("claim.system") })) : "");

function said(claim, isMine) {
  const when = moment(claim.at);
  if (isMine) return [text("claim.mine", { when })];
  const name = element("bdi", {}, claim.by || text("claim.system"));
  return parts({ page: "claim.by", site: "claim.site" }[claim.via] ?? "claim.stays", { name, when });
}

// Links of a study to the site's own viewer and RIS.

import { element } from "./elements.js";
import { coded } from "./texts.js";

/** Anchors of `links` as the API returns them; a study that lacks a value of an address has none to that place. */
export function siteLinks(links) {
  return Object.entries(links ?? {})
    .filter(([, address]) => address)
    .map(([name, address]) => {
      const link = element("a", { href: address, rel: "noopener noreferrer", className: "site-link" }, coded("link", name, name));
      // A program of this machine opens without a page of its own.
      if (/^https?:/i.test(address)) link.target = "_blank";
      link.addEventListener("click", (event) => event.stopPropagation()); // the row below it opens the study here
      return link;
    });
}

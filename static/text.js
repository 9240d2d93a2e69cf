// The chart draws a row's text as HTML, and the rows have it as the server tells it: HTML that is
// drawn as just the text that somebody wrote. Whatever takes it for text reads it first.

/** What is written in a row's text. */
export function read(told) {
  return (told ?? "").replaceAll("&lt;", "<").replaceAll("&amp;", "&");
}

/** Text as it stands in a row. The server knows each name after "&" that HTML would read. */
export function tell(text) {
  return text.replace(/&(?=[#a-z])/gi, "&amp;").replaceAll("<", "&lt;");
}

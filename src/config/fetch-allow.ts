/** What `PORTCULLIS_FETCH_ALLOW` says of a URL; for whoever fetches, and for the check of client metadata. */

/** Whether a `host[:port]` entry names the URL's host, and its port if the entry has one. */
export function isFetchAllowed(fetchAllow: readonly string[], url: URL): boolean {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return fetchAllow.includes(url.hostname) || fetchAllow.includes(`${url.hostname}:${port}`);
}

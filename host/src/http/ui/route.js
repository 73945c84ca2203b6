// Addresses within the page: `#/jobs/ID?state=…`, names encoded part by part.
// They hold what is looked at and never a key.

/** A link to a part of the dashboard. */
export function to(parts, query = {}) {
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '' && value !== false);
  const asked = wanted.length > 0 ? `?${new URLSearchParams(wanted)}` : '';
  return `#/${parts.map(encodeURIComponent).join('/')}${asked}`;
}

/** What an address names. What cannot be read names nothing. */
export function read(hash) {
  const [path, ...query] = hash.replace(/^#\/?/, '').split('?');
  try {
    return { parts: path.split('/').filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query.join('?'))) };
  } catch {
    return { parts: ['?'], query: {} };
  }
}

export const go = (parts, query) => {
  location.hash = to(parts, query);
};

/** A decoded JSON document as YAML, for reading and copying. Keys keep their order. */
export function toYAML(value: unknown): string {
  return `${lines(value, '').join('\n')}\n`;
}

function lines(value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    if (value.length === 0) return [`${indent}[]`];
    return value.flatMap((each) => {
      const [first = '', ...rest] = lines(each, `${indent}  `);
      return [`${indent}- ${first.trimStart()}`, ...rest];
    });
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return [`${indent}{}`];
    return entries.flatMap(([key, each]) => entry(scalar(key), each, indent));
  }
  return [indent + scalar(value)];
}

function entry(key: string, value: unknown, indent: string): string[] {
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  if (typeof value === 'string' && value.includes('\n') && !/^\s|\s\n|\t/.test(value)) {
    const keep = value.endsWith('\n') ? '|' : '|-';
    const body = value.replace(/\n$/, '').split('\n');
    if (!value.endsWith('\n\n'))
      return [`${indent}${key}: ${keep}`, ...body.map((line) => (line ? `${indent}  ${line}` : ''))];
  }
  if (typeof value !== 'object' || value === null || isEmpty) return [`${indent}${key}: ${lines(value, '')[0]}`];
  // the elements of a list stand below their key, as kubectl writes them
  return [`${indent}${key}:`, ...lines(value, Array.isArray(value) ? indent : `${indent}  `)];
}

/** Words YAML reads as something else than text, in any case. */
const reserved = /^(?:null|true|false|yes|no|on|off|y|n|~)$/i;

function scalar(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  const isPlain = /^[A-Za-z_/][A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*(?: [A-Za-z0-9_./@+()-]+)*$/.test(value);
  return isPlain && !reserved.test(value) ? value : JSON.stringify(value);
}

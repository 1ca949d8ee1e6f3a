/** sRGB as three bytes. */
export type Rgb = [number, number, number];

/** Reads `#rrggbb`. Throws on anything else. */
export function hex(text: string): Rgb {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  if (!match) throw new Error(`not a colour: ${text}`);
  return [1, 2, 3].map((i) => Number.parseInt(match[i] ?? '', 16)) as Rgb;
}

/** `share` (0 to 1) of `top` over `ground`, as CSS color-mix(in srgb) does. */
export function mix(top: Rgb, ground: Rgb, share: number): Rgb {
  return top.map((value, i) => value * share + (ground[i] ?? 0) * (1 - share)) as Rgb;
}

/** Contrast ratio of two colours, 1 to 21 (WCAG 2.2, relative luminance). */
export function contrast(a: Rgb, b: Rgb): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

function luminance(color: Rgb): number {
  const [r, g, b] = color.map((byte) => {
    const value = byte / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

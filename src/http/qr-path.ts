/** QR codes for pages: drawn by an inline SVG, so that nothing is loaded and no script is needed. */
import { encode } from 'uqr';

export interface QrPath {
  /** The `d` of an SVG path. */
  readonly path: string;
  /** Width and height, with the quiet zone of four modules (ISO/IEC 18004). */
  readonly size: number;
}

/** A QR code as an SVG path: a horizontal line for each run of dark modules. */
export function qrPath(text: string): QrPath {
  const { data, size } = encode(text, { ecc: 'M', border: 4 });
  const rows = data.map((row, y) => {
    const line = row.map((dark) => (dark ? '1' : '0')).join('');
    return [...line.matchAll(/1+/g)].map(
      ({ index, 0: run }) => `M${index} ${y}h${run.length}v1h-${run.length}z`,
    );
  });
  return { path: rows.flat().join(''), size };
}

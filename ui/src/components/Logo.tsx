export interface LogoProps {
  size?: number;
}

/** The waybill sheet with a folded corner. Decorative: the name stands beside it. */
export function Logo({ size = 22 }: LogoProps) {
  return <img src="/logo.svg" width={size} height={size} alt="" />;
}

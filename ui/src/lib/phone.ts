import { useMediaQuery } from '@mantine/hooks';

/** Whether the page is as narrow as a phone; the style sheets use the same 760 px. */
export function usePhone(): boolean {
  return useMediaQuery('(max-width: 760px)', undefined, { getInitialValueInEffect: false }) ?? false;
}

/** The words of a status that none was given for, as the platform has them. */
import { STATUS_CODES } from 'node:http';

const classes: Readonly<Record<number, string>> = {
  2: 'Successful',
  3: 'Redirection',
  4: 'Client Error',
  5: 'Server Error',
};

export function defaultStatusText(status: number): string {
  if (status === 418) return "I'm a teapot";
  return STATUS_CODES[status] ?? classes[Math.floor(status / 100)] ?? '';
}

/** The standard claims of a user (OpenID Connect Core 1.0, 5.1) and the scopes that release them (5.4). */
import { z } from 'zod';

/** Claims that each scope releases. `sub` goes with `openid`; `updated_at` is derived. */
export const SCOPE_CLAIMS = {
  profile: [
    'name',
    'family_name',
    'given_name',
    'middle_name',
    'nickname',
    'preferred_username',
    'profile',
    'picture',
    'website',
    'gender',
    'birthdate',
    'zoneinfo',
    'locale',
    'updated_at',
  ],
  email: ['email', 'email_verified'],
  address: ['address'],
  phone: ['phone_number', 'phone_number_verified'],
} as const;

/** Text without control characters. */
export const line = (max: number) =>
  z
    .string()
    .min(1, { error: 'must not be empty' })
    .max(max, { error: `must have at most ${max} characters` })
    .regex(/^[^\p{Cc}\p{Cs}\u2028\u2029]*$/u, { error: 'must not hold control characters' });

/** The same, but with line breaks. */
const lines = (max: number) =>
  z
    .string()
    .min(1, { error: 'must not be empty' })
    .max(max, { error: `must have at most ${max} characters` })
    .regex(/^(?:[^\p{Cc}\p{Cs}]|[\r\n])*$/u, { error: 'must not hold control characters' });

const flag = z.boolean({ error: 'must be true or false' });

const url = z
  .string()
  .max(2048, { error: 'must have at most 2048 characters' })
  .refine((text) => /^https?:\/\/[^\s\p{Cc}\p{Cs}]+$/iu.test(text) && URL.canParse(text), {
    error: 'must be an http or https URL',
  })
  .meta({ format: 'uri' });

/** `YYYY-MM-DD`, `0000-MM-DD` without the year, or `YYYY` alone. */
const isBirthdate = (text: string): boolean => {
  const [, year, month, day] = (/^(\d{4})(?:-(\d\d)-(\d\d))?$/.exec(text) ?? []).map(Number);
  if (year === undefined) return false;
  if (month === undefined || Number.isNaN(month) || day === undefined) return year !== 0;
  return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
};

/** Year 0 stands for any, leap years among them. */
const daysIn = (year: number, month: number): number => {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
};

/** A name of the IANA time zone database, as far as this runtime knows them. */
const isTimeZone = (text: string): boolean => {
  try {
    return /^[A-Za-z]/.test(text) && Boolean(new Intl.DateTimeFormat('en', { timeZone: text }));
  } catch {
    return false;
  }
};

/** BCP 47; an underscore in place of the dash is tolerated, as the standard suggests. */
const isLocale = (text: string): boolean => {
  try {
    return Intl.getCanonicalLocales(text.replaceAll('_', '-')).length === 1;
  } catch {
    return false;
  }
};

/** What `claims` of a user may hold: the standard claims that have no member of their own. */
export const claimsSchema = z.strictObject({
  given_name: line(256).optional(),
  family_name: line(256).optional(),
  middle_name: line(256).optional(),
  nickname: line(256).optional(),
  preferred_username: line(256).optional(),
  profile: url.optional(),
  picture: url.optional(),
  website: url.optional(),
  gender: line(64).optional(),
  birthdate: z.string().refine(isBirthdate, { error: 'must be YYYY-MM-DD, 0000-MM-DD or YYYY' }).optional(),
  zoneinfo: z.string().refine(isTimeZone, { error: 'must be a time zone such as Europe/Paris' }).optional(),
  locale: z.string().refine(isLocale, { error: 'must be a language tag such as de-CH' }).optional(),
  phone_number: z
    .string()
    .regex(/^\+[1-9][0-9 ().-]{2,30}(?:;ext=\d{1,10})?$/, {
      error: 'must be an international number: +, digits, optionally ;ext=',
    })
    .optional(),
  phone_number_verified: flag.optional(),
  address: z
    .strictObject({
      formatted: lines(1024).optional(),
      street_address: lines(512).optional(),
      locality: line(256).optional(),
      region: line(256).optional(),
      postal_code: line(64).optional(),
      country: line(128).optional(),
    })
    .optional(),
});

/** Validated standard claims. */
export type StandardClaims = z.output<typeof claimsSchema>;

using System.Globalization;

namespace Peers;

/// <summary>Values that are easily spoilt on their way, and all that there is to see of one.</summary>
static class Odd
{
    /// <summary>Whether the sign of zero is lost: .NET's binary writer writes a zero as an integer.</summary>
    public static bool Binary;

    public static readonly double[] Doubles =
    {
        0.0, -0.0, 1.0, -1.0, 0.1, 1.0 / 3.0, 2147483648.0, -2147483649.0, 1.0 / 32768.0, 16777216.0, 16777217.0, 32767.0, 32768.0,
        9007199254740992.0, 9007199254740993.0, 1e15, 1e16, 1e17, 1e-4, 1e-5, 123456789.125, float.MaxValue, float.Epsilon,
        double.MaxValue, -double.MaxValue, double.Epsilon, 2.2250738585072014E-308, double.NaN, double.PositiveInfinity, double.NegativeInfinity
    };

    public static IEnumerable<(double, double)> Pairs()
    {
        foreach (double x in Doubles) foreach (double y in Doubles) yield return (x, y);
        Random random = new Random(4711);
        for (int i = 0; i < 300; i++)
        {
            double x = BitConverter.Int64BitsToDouble(random.NextInt64(long.MinValue, long.MaxValue));
            double y = i % 3 == 0 ? (double)(float)random.NextDouble() : BitConverter.Int64BitsToDouble(random.NextInt64(long.MinValue, long.MaxValue));
            yield return (x, y);
        }
    }

    public static double Sent(double d) => Binary && d == 0 ? 0.0 : d;
    public static float Sent(float f) => Binary && f == 0 ? 0.0f : f;
    public static string Bits(double d) => double.IsNaN(d) ? "NaN" : BitConverter.DoubleToInt64Bits(d).ToString("X16", CultureInfo.InvariantCulture);
    public static string Bits(float f) => float.IsNaN(f) ? "NaN" : BitConverter.SingleToInt32Bits(f).ToString("X8", CultureInfo.InvariantCulture);

    public static IEnumerable<string?> Strings()
    {
        yield return null;
        foreach (string s in new[]
        {
            "", " ", "  \t ", "\n", "\r", "\r\n", "a\rb\nc\r\nd", "\t\ta", " both ends ", "]]>", "<&>\"'", "&amp;&#13;", "0", "1", "true", "NaN",
            "\u007f\u0080\u0085\u009f", "a\u2028b\u2029", "\ufeffmark", "\ufffd\ufdd0", "h\u00e9llo \u20ac", "\u6f22\u5b57\u304a\ud55c", "\ud83d\ude00\ud800\udc00\udbff\udffd",
            new string('x', 8193), new string('\u00e9', 4000) + new string('x', 300), string.Concat(Enumerable.Repeat("\r\n", 300))
        }) yield return s;
        // XML has none of these; as references they pass in text too.
        yield return "\0\u0001\u001f\ufffe\uffff";
    }

    public static IEnumerable<DateTime> DateTimes()
    {
        foreach (DateTimeKind kind in new[] { DateTimeKind.Unspecified, DateTimeKind.Utc, DateTimeKind.Local })
            foreach (long ticks in new[] { 0L, 1L, 630822816000000000L, 638880000000000010L, 638881234567890000L, 639000000001234567L, 3155378975999999999L })
            {
                // Near the ends a local time has no time in UTC.
                bool end = ticks < TimeSpan.TicksPerDay || ticks > 3155378975999999999L - TimeSpan.TicksPerDay;
                if (kind != DateTimeKind.Local || !end) yield return new DateTime(ticks, kind);
            }
    }

    public static readonly decimal[] Decimals =
    {
        0m, 0.000m, 1m, 1.0m, 1.00m, -15.990m, decimal.MaxValue, decimal.MinValue, 0.0000000000000000000000000001m, 7.9228162514264337593543950335m
    };

    public static readonly TimeSpan[] TimeSpans =
    {
        TimeSpan.Zero, TimeSpan.MaxValue, TimeSpan.MinValue, TimeSpan.FromTicks(1), TimeSpan.FromTicks(-1), TimeSpan.FromDays(1), new TimeSpan(1, 2, 3, 4, 500)
    };

    public static readonly Guid[] Guids = { Guid.Empty, new Guid("03020100-0504-0706-0809-0a0b0c0d0e0f"), new Guid("ffffffff-ffff-ffff-ffff-ffffffffffff") };

    public static string Show(DateTime d) => d.Ticks.ToString(CultureInfo.InvariantCulture) + " " + d.Kind;
    public static string Show(decimal d) => string.Join(" ", decimal.GetBits(d).Select(i => i.ToString("X8", CultureInfo.InvariantCulture)));
    public static string Show(string? s) => s == null ? "null" : string.Concat(s.Select(c => ((int)c).ToString("X4", CultureInfo.InvariantCulture)));
    public static string Show(byte[]? b) => b == null ? "null" : Convert.ToHexString(b);
}

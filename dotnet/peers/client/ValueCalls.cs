namespace Peers;

/// <summary>Hundreds of odd values there and back, bit by bit: what is wrong is said, and at the end how many there were.</summary>
static class ValueCalls
{
    static int calls;

    /// <summary>Each pair through one of the four operations.</summary>
    public static int Doubles(ICalculator channel)
    {
        foreach ((double x, double y) in Odd.Pairs())
        {
            double n1 = Odd.Sent(x), n2 = Odd.Sent(y);
            (string name, double wanted, Func<double, double, double> call) = (calls % 4) switch
            {
                0 => (nameof(channel.Add), n1 + n2, channel.Add),
                1 => (nameof(channel.Subtract), n1 - n2, channel.Subtract),
                2 => (nameof(channel.Multiply), n1 * n2, channel.Multiply),
                _ => (nameof(channel.Divide), n1 / n2, (Func<double, double, double>)channel.Divide),
            };
            Same($"{name}({x:R}, {y:R})", Odd.Bits(Odd.Sent(wanted)), Odd.Bits(call(x, y)));
        }
        return calls;
    }

    public static int All(IValues channel)
    {
        Each<string?>("String", Odd.Strings(), channel.String, Odd.Show);
        Each<bool>("Boolean", [true, false], channel.Boolean, Text);
        Each<char>("Char", ['a', ' ', '\0', '\r', '\ud800', '\uffff'], channel.Char, v => Report.Text((int)v));
        Each<sbyte>("SByte", [0, 1, -1, sbyte.MinValue, sbyte.MaxValue], channel.SByte, Text);
        Each<byte>("Byte", [0, 1, 255], channel.Byte, Text);
        Each<short>("Int16", [0, 1, -1, short.MinValue, short.MaxValue], channel.Int16, Text);
        Each<ushort>("UInt16", [0, 1, 32768, 65535], channel.UInt16, Text);
        Each<int>("Int32", [0, 1, -1, 128, -129, int.MinValue, int.MaxValue], channel.Int32, Text);
        Each<uint>("UInt32", [0, 1, uint.MaxValue, 2147483648], channel.UInt32, Text);
        Each<long>("Int64", [0, 1, -1, long.MinValue, long.MaxValue, 9007199254740993], channel.Int64, Text);
        Each<ulong>("UInt64", [0, 1, ulong.MaxValue, 9223372036854775808], channel.UInt64, Text);
        float[] singles = [.. Odd.Doubles.Select(v => Odd.Sent((float)v)), 3101310.25f, 16777216f, 1e9f, 123456790f];
        Each("Single", singles, channel.Single, Odd.Bits);
        double[] doubles = [.. Odd.Doubles.Select(Odd.Sent)];
        Each("Double", doubles, channel.Double, Odd.Bits);
        Each("Decimal", Odd.Decimals, channel.Decimal, Odd.Show);
        Each("DateTime", Odd.DateTimes(), channel.DateTime, Odd.Show);
        Each("TimeSpan", Odd.TimeSpans, channel.TimeSpan, Text);
        Each("Guid", Odd.Guids, channel.Guid, Text);
        int[] sizes = [.. Enumerable.Range(0, 70), .. Enumerable.Range(250, 10), .. Enumerable.Range(380, 10), .. Enumerable.Range(508, 8),
            768, 1023, 1024, 4096, 16383, 16384, 65535, 65536, 100000];
        Each<byte[]?>("Bytes", [.. sizes.Select(Pattern), null], channel.Bytes, Odd.Show);
        Each<int?>("NullableInt32", [null, 0, 1, -7], channel.NullableInt32, Text);
        Array<bool>("BooleanArray", [true, false, false], channel.BooleanArray, Text);
        Array<short>("Int16Array", [0, 1, short.MinValue], channel.Int16Array, Text);
        Array<int>("Int32Array", [0, 1, int.MinValue], channel.Int32Array, Text);
        Array<long>("Int64Array", [0, 1, long.MinValue], channel.Int64Array, Text);
        Array("SingleArray", singles, channel.SingleArray, Odd.Bits);
        Array("DoubleArray", doubles, channel.DoubleArray, Odd.Bits);
        Array("DecimalArray", Odd.Decimals, channel.DecimalArray, Odd.Show);
        Array("DateTimeArray", [.. Odd.DateTimes()], channel.DateTimeArray, Odd.Show);
        Array("TimeSpanArray", Odd.TimeSpans, channel.TimeSpanArray, Text);
        Array("GuidArray", Odd.Guids, channel.GuidArray, Text);
        Array("StringArray", [.. Odd.Strings()], channel.StringArray, Odd.Show);
        return calls;
    }

    static void Each<T>(string name, IEnumerable<T> values, Func<T, T> call, Func<T, string> show)
    {
        foreach (T value in values) Same($"{name}({Short(show(value))})", show(value), show(call(value)));
    }

    static void Array<T>(string name, T[] values, Func<T[]?, T[]?> call, Func<T, string> show)
    {
        string Items(T[]? items) => items == null ? "null" : $"[{string.Join(", ", items.Select(show))}]";
        Each<T[]?>(name, [values, [], [values[0]], [.. values, .. values], null], call, Items);
    }

    static void Same(string what, string wanted, string answer)
    {
        calls++;
        if (wanted != answer) Report.Check(what, wanted, () => answer);
    }

    static string Text<T>(T value) => Report.Text(value);

    static string Short(string text) => text.Length > 60 ? text[..60] + "..." : text;

    static byte[] Pattern(int size) => [.. Enumerable.Range(0, size).Select(i => (byte)(i % 251))];
}

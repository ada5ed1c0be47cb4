using System.ServiceModel.Channels;
using System.Text;
using System.Xml;

namespace Peers;

/// <summary>Prints what the DataContract serialiser reads in an envelope that another program wrote, a line for each item.</summary>
static class ValueReader
{
    public static void Print(string file, bool binary)
    {
        using Stream octets = File.OpenRead(file);
        using Message message = Encoder(binary).ReadMessage(octets, int.MaxValue);
        Values values = message.GetBody<Values>();
        Console.WriteLine($"Action {message.Headers.Action}");
        Each("String", values.Strings, Odd.Show);
        Each("Boolean", values.Booleans, v => Report.Text(v));
        Each("Int64", values.Int64s, v => Report.Text(v));
        Each("UInt64", values.UInt64s, v => Report.Text(v));
        Each("Single", values.Singles, Odd.Bits);
        Each("Double", values.Doubles, Odd.Bits);
        Each("Decimal", values.Decimals, Odd.Show);
        Each("DateTime", values.DateTimes, v => Report.Text(v.Kind == DateTimeKind.Local ? v.ToUniversalTime().Ticks : v.Ticks) + $" {v.Kind}");
        Each("TimeSpan", values.TimeSpans, v => Report.Text(v.Ticks));
        Each("Guid", values.Guids, v => Report.Text(v));
        Each("Bytes", values.Bytes, Odd.Show);
    }

    static MessageEncoder Encoder(bool binary)
    {
        BinaryMessageEncodingBindingElement inBinary = new();
        TextMessageEncodingBindingElement inText = new(MessageVersion.Soap12WSAddressing10, Encoding.UTF8);
        XmlDictionaryReaderQuotas.Max.CopyTo(inBinary.ReaderQuotas);
        XmlDictionaryReaderQuotas.Max.CopyTo(inText.ReaderQuotas);
        return (binary ? (MessageEncodingBindingElement)inBinary : inText).CreateMessageEncoderFactory().Encoder;
    }

    static void Each<T>(string name, IEnumerable<T>? items, Func<T, string> show)
    {
        foreach (T item in items ?? []) Console.WriteLine($"{name} {show(item)}");
    }
}

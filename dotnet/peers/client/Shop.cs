using System.Runtime.Serialization;
using System.ServiceModel;
using System.ServiceModel.Channels;

namespace Peers;

/// <summary>A service that knows one header, <c>Tenant</c>, and says what went wrong.</summary>
[ServiceContract(Namespace = Namespaces.Own)]
public interface IShop
{
    [OperationContract, FaultContract(typeof(OutOfStock))] int Order(int copies);
    [OperationContract] void Note(string text);
    [OperationContract(IsOneWay = true)] void Tell(string text);
}

[DataContract(Namespace = Namespaces.Own)]
public sealed class OutOfStock
{
    [DataMember] public int Left;
}

static class ShopCalls
{
    public static void All(IShop channel, string label)
    {
        using OperationContextScope scope = new((IContextChannel)channel);
        OperationContext context = OperationContext.Current!;
        Report.Check($"{label} Order without a header", 2, () => channel.Order(2));

        context.OutgoingMessageHeaders.Add(MessageHeader.CreateHeader("Tenant", Namespaces.Own, "blue", mustUnderstand: true));
        Report.Check($"{label} Order with one that is known", 3, () => channel.Order(3));
        Report.Check($"{label} header of the reply", "blue", () => context.IncomingMessageHeaders.GetHeader<string>("Served", Namespaces.Own));
        Report.Check($"{label} typed fault", 7, () => Caught<FaultException<OutOfStock>>(() => channel.Order(8)).Detail.Left);
        Report.Check($"{label} one-way", true, () => { channel.Tell("it fails, which nobody says"); return true; });
        // Over the service's quota of 8192 characters.
        Report.Check($"{label} fault of a long text", true, () => Caught<FaultException>(() => channel.Note(new string('x', 9000))).Code.IsSenderFault);
        Report.Check($"{label} Order afterwards", 4, () => channel.Order(4));

        context.OutgoingMessageHeaders.Add(MessageHeader.CreateHeader("Unknown", Namespaces.Own, 1, mustUnderstand: true));
        Report.Check($"{label} fault of an unknown header", true, () => Caught<CommunicationException>(() => channel.Order(5)).Message.Contains("'Unknown'"));
    }

    /// <summary>Sends each line with Note, on a channel of its own, and says what became of the reply: <c>void</c>, or which exception.</summary>
    public static void Judge(Func<IShop> create, string[] lines)
    {
        foreach (string line in lines)
        {
            IShop channel = create();
            string verdict = "void";
            try { channel.Note(line); }
            catch (Exception e) { verdict = $"{e.GetType().Name} {e.Message.ReplaceLineEndings(" ")}"; }
            Report.Say($"verdict {verdict}");
            ((IClientChannel)channel).Abort();
        }
    }

    static T Caught<T>(Action act) where T : Exception
    {
        try { act(); }
        catch (T e) { return e; }
        throw new InvalidOperationException($"no {typeof(T).Name}");
    }
}

// The calculator of the original sample as a WCF program, service or client, for the interoperability tests.
//
//   calculator.exe service BINDING ADDRESS LISTEN-URI    prints "ready"; ends when its standard input does
//   calculator.exe client  BINDING ADDRESS...            prints the four results of each, or the exception and status 1
//
// BINDING: text = SOAP 1.2 as UTF-8 text; net-tcp = NetTcpBinding without security, binary in a session;
// streamed = the same with TransferMode.Streamed, binary without a session and one call a channel.
// A service behind a relay has the public ADDRESS, which it compares with the To header, and a private LISTEN-URI.

using System;
using System.Globalization;
using System.ServiceModel;
using System.ServiceModel.Channels;
using System.Text;
using System.Threading;

[ServiceContract(Namespace = "http://Microsoft.ServiceModel.Samples")]
public interface ICalculator
{
    [OperationContract] double Add(double n1, double n2);
    [OperationContract] double Subtract(double n1, double n2);
    [OperationContract] double Multiply(double n1, double n2);
    [OperationContract] double Divide(double n1, double n2);
}

public class Calculator : ICalculator
{
    public double Add(double n1, double n2) { return n1 + n2; }
    public double Subtract(double n1, double n2) { return n1 - n2; }
    public double Multiply(double n1, double n2) { return n1 * n2; }
    public double Divide(double n1, double n2) { return n1 / n2; }
}

public static class Program
{
    public static int Main(string[] args)
    {
        CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
        Thread.CurrentThread.CurrentCulture = CultureInfo.InvariantCulture;
        Binding binding = NewBinding(args[1]);
        if (args[0] == "service") return Serve(binding, args[2], args[3]);
        // A client that gets no answer waits for ever: it ignores its open timeout.
        new Timer(_ => { Console.WriteLine("deadline"); Environment.Exit(3); }, null, 20000, Timeout.Infinite);
        for (int i = 2; i < args.Length; i++) Call(binding, args[1], args[i]);
        Environment.Exit(0);
        return 0;
    }

    static Binding NewBinding(string name)
    {
        switch (name)
        {
            case "text":
                return new CustomBinding(
                    new TextMessageEncodingBindingElement(MessageVersion.Soap12WSAddressing10, Encoding.UTF8),
                    new TcpTransportBindingElement());
            case "net-tcp":
                return new NetTcpBinding(SecurityMode.None);
            case "streamed":
                return new NetTcpBinding(SecurityMode.None) { TransferMode = TransferMode.Streamed };
            default:
                throw new ArgumentException("unknown binding " + name);
        }
    }

    static int Serve(Binding binding, string address, string listenUri)
    {
        var host = new ServiceHost(typeof(Calculator));
        host.AddServiceEndpoint(typeof(ICalculator), binding, new Uri(address), new Uri(listenUri));
        host.Open();
        Console.WriteLine("ready");
        Console.In.ReadToEnd();
        Environment.Exit(0); // Close would wait for open channels.
        return 0;
    }

    static void Call(Binding binding, string name, string address)
    {
        try
        {
            var factory = new ChannelFactory<ICalculator>(binding, new EndpointAddress(address));
            ICalculator calculator = factory.CreateChannel();
            Func<ICalculator> next = () =>
            {
                if (name == "streamed")
                {
                    ((IClientChannel)calculator).Close();
                    calculator = factory.CreateChannel();
                }
                return calculator;
            };
            Console.WriteLine("Add(100,15.99) = {0}", calculator.Add(100, 15.99));
            Console.WriteLine("Subtract(145,76.54) = {0}", next().Subtract(145, 76.54));
            Console.WriteLine("Multiply(9,81.25) = {0}", next().Multiply(9, 81.25));
            Console.WriteLine("Divide(22,7) = {0}", next().Divide(22, 7));
            ((IClientChannel)calculator).Close();
        }
        catch (Exception exception)
        {
            Console.WriteLine("{0}: {1}", exception.GetType().Name, exception.Message);
            Environment.Exit(1);
        }
    }
}
